// The files of a reply. Each is fetched when the reader asks for it, as a request needs the key.

const SHOWN = /^image\/(png|jpeg|gif|webp)$/; // what can hold no script
const clone = (id) => document.getElementById(id).content.firstElementChild.cloneNode(true);

/** @param {{file_id: string, name: string, media_type: string}[]} files */
export function listFiles(files) {
  return files.map((file) => {
    const line = clone("file-template");
    const button = line.querySelector("button");
    button.file = file;
    button.querySelector(".verb").textContent = button.dataset[SHOWN.test(file.media_type) ? "show" : "download"];
    button.querySelector(".name").textContent = file.name;
    return line;
  });
}

/**
 * Shows an image in place of its button, or saves another file.
 * @param {(id: string) => Promise<Blob>} fetchFile
 */
export async function openFile(button, fetchFile) {
  const { file_id: id, name, media_type: type } = button.file;
  button.disabled = true;
  try {
    const address = URL.createObjectURL(await fetchFile(id));
    if (SHOWN.test(type)) {
      const image = Object.assign(new Image(), { src: address, alt: name });
      button.replaceWith(image);
      return;
    }
    Object.assign(document.createElement("a"), { href: address, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000); // some browsers read it after the click
  } finally {
    button.disabled = false;
  }
}
