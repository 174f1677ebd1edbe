r"""Solutions with notes of them, written for these tests, and what may be wrong in a note.

A note holds marks such as ⟦d 24|26⟧: what is right, and what would be wrong there. A corrupted note has one of them
wrong: d a digit of an intermediate step, s a sign or an operation, a the final answer, v an equation with variables.
`HELD_OUT` was first run when the rules were done; what it showed then was put right.
"""

# ruff: noqa: E501, RUF001

import re
from dataclasses import dataclass

_MARK = re.compile(r"⟦([dsav]) ([^|⟧]*)\|([^⟧]*)⟧")
KINDS = {"d": "digit", "s": "sign", "a": "answer", "v": "variables"}


@dataclass(frozen=True)
class Solution:
    """A source and a note of it.

    Attributes:
        notation: of the note.
        source: a problem with its solution.
        marked: the note with marks.
    """

    notation: str
    source: str
    marked: str

    @property
    def note(self) -> str:
        """The note without errors."""
        return _MARK.sub(r"\2", self.marked)

    @property
    def corrupted(self) -> list[tuple[str, str]]:
        """Notes with one error each, behind the kind of it."""
        found = []
        for mark in _MARK.finditer(self.marked):
            wrong = self.marked[: mark.start()] + mark[3] + self.marked[mark.end() :]
            found.append((KINDS[mark[1]], _MARK.sub(r"\2", wrong)))
        return found


def _solutions(text: str) -> list[Solution]:
    found = []
    for block in re.split(r"^== ", text, flags=re.MULTILINE)[1:]:
        notation, _, rest = block.partition("\n")
        source, _, note = rest.partition("\n--\n")
        found.append(Solution(notation.strip(), source.strip(), note.strip()))
    return found


DEVELOPMENT = _solutions(
    r"""
== latex
A rectangle is 12 cm long and 7 cm wide. What are its area and perimeter, added as numbers?
The area is $12 \cdot 7 = 84$ and the perimeter $2(12 + 7) = 38$. Together $84 + 38 = 122$. The answer is $122$.
--
**Given**: length $12$, width $7$.
1. Area: length times width, $12 \times 7 = ⟦d 84|86⟧$.
2. Perimeter: $2 \cdot (12 ⟦s +|-⟧ 7) = 2 \cdot 19 = 38$.
3. Added: $84 + 38 = ⟦d 122|132⟧$.

Final answer: $\boxed{⟦a 122|121⟧}$
== latex
Compute $\frac{2}{3} + \frac{1}{4}$. We have $\frac{8}{12} + \frac{3}{12} = \frac{11}{12}$, so the answer is $\frac{11}{12}$.
--
Bring both fractions to the denominator $12$: $\frac{2}{3} = \frac{⟦d 8|9⟧}{12}$ and $\frac{1}{4} = \frac{3}{12}$. Then
$$\frac{2}{3} + \frac{1}{4} = \frac{8}{12} ⟦s +|-⟧ \frac{3}{12} = \frac{11}{12}.$$
Final answer: $\boxed{\frac{⟦a 11|10⟧}{12}}$
== latex
A right triangle has legs 5 and 12. Find the hypotenuse. $\sqrt{5^2 + 12^2} = \sqrt{169} = 13$. Answer: $13$
--
By Pythagoras, $c^2 = 5^2 + 12^2$. Since $5^2 = 25$ and $12^2 = ⟦d 144|124⟧$,
\[ c = \sqrt{25 + 144} = \sqrt{⟦d 169|196⟧} = 13. \]
The answer is \(\boxed{⟦a 13|17⟧}\).
== latex
Solve $3x - 7 = 14$. Adding 7: $3x = 21$, so $x = 7$. The answer is $7$.
--
To free $x$, add $7$ on both sides of $3x - 7 = 14$: $3x = 14 + 7 = ⟦d 21|22⟧$. Divide by $3$: $x = \frac{21}{3} = 7$.
Check: $3 \cdot 7 ⟦s -|+⟧ 7 = 14$. Hence $⟦v 3x = 21|3x = 24⟧$ has the solution $x = 7$.

Final answer: $\boxed{⟦a 7|9⟧}$
== latex display
Find $\sum$ of the first three squares times two. $1 + 4 + 9 = 14$ and $2 \cdot 14 = 28$. The answer is 28.
--
\begin{align*}
1^2 + 2^2 + 3^2 &= 1 + 4 + ⟦d 9|6⟧ \\
&= 14, \\
2 \cdot 14 &= ⟦d 28|24⟧.
\end{align*}
Final answer: $\boxed{⟦a 28|14⟧}$
== latex display
Solve $x^2 - 5x + 6 = 0$ for the larger root. $(x-2)(x-3) = 0$, so $x = 3$ is the larger. The answer is $3$.
--
The quadratic formula gives the discriminant
$$D = (-5)^2 - 4 \cdot 1 \cdot 6 = 25 ⟦s -|+⟧ 24 = 1,$$
and the roots
$$\frac{5 + \sqrt{1}}{2} = ⟦d 3|4⟧, \qquad \frac{5 - \sqrt{1}}{2} = 2.$$
Indeed $(x-2)(x-3) = ⟦v x^2 - 5x + 6|x^2 - 6x + 6⟧$. Final answer: $\boxed{⟦a 3|2⟧}$
== latex display
What is $\log_2 32 + \log_{10} 1000$? It is $5 + 3 = 8$. The answer is 8.
--
\[
\begin{aligned}
\log_2 32 &= ⟦d 5|6⟧ && \text{since } 2^5 = 32 \\
\log_{10} 1000 &= 3 && \text{since } 10^3 = 1000
\end{aligned}
\]
Together: $$5 ⟦s +|\cdot⟧ 3 = 8$$
Final answer: $\boxed{⟦a 8|9⟧}$
== plain
A shop sold 45 pens on Monday and twice as many on Tuesday. How many in all?
Tuesday: 45 * 2 = 90. In all: 45 + 90 = 135. The answer is 135.
--
On Tuesday the shop sold twice as many pens as on Monday, so 45 * 2 = ⟦d 90|80⟧ pens. In all it sold
45 ⟦s +|-⟧ 90 = 135 pens.
The answer is ⟦a 135|145⟧.
== plain
Tom reads 15 pages a day for 6 days and 20 pages on the last day. How many pages?
15 x 6 = 90, 90 + 20 = 110. #### 110
--
In six days Tom reads 15 x 6 = ⟦d 90|96⟧ pages. On the last day he reads 20 more, which makes 90 + 20 = ⟦d 110|120⟧ pages
altogether.
Answer: ⟦a 110|100⟧
== plain
A car drives 240 km in 3 hours. How far in 5 hours? 240 / 3 = 80 km/h, 80 * 5 = 400 km. The answer is 400 km.
--
Its speed is 240 km / 3 h = ⟦d 80|90⟧ km/h. In 5 h it drives 80 km/h * 5 h = ⟦d 400|450⟧ km.
The answer is ⟦a 400|380⟧ km.
== plain
Half of 50 plus a third of 27. 1/2 of 50 = 25, 27/3 = 9, 25 + 9 = 34. The answer is 34.
--
Half of fifty: 1/2 of 50 = 25. A third of 27: 27 ⟦s /|*⟧ 3 = 9. The sum is 25 + 9 = ⟦d 34|44⟧. The answer is ⟦a 34|35⟧.
== plain
12 eggs cost $3.60. What do 5 eggs cost? 3.60 / 12 = 0.30, 0.30 * 5 = 1.50. The answer is $1.50.
--
One egg costs $3.60 / 12 = $⟦d 0.30|0.36⟧, and five eggs cost $0.30 × 5 = $⟦d 1.50|1.80⟧. The answer is $⟦a 1.50|1.20⟧.
== gsm8k
Weng earns $12 an hour. She worked 50 minutes. She earns 12/60 = $<<12/60=0.2>>0.2 per minute, so 0.2 x 50 = $<<0.2*50=10>>10.
#### 10
--
Weng earns 12/60 = $<<12/60=⟦d 0.2|0.3⟧>>0.2 a minute. For 50 minutes that is 0.2 x 50 = $<<0.2*50=10>>⟦d 10|12⟧.
#### ⟦a 10|12⟧
== gsm8k
There are 4 boxes of 6 eggs, and 3 eggs break. 4*6 = <<4*6=24>>24 eggs, 24-3 = <<24-3=21>>21 eggs are left.
#### 21
--
Four boxes hold 4*6=<<4*6=24>>⟦d 24|26⟧ eggs. Of these, 24⟦s -|+⟧3=<<24-3=21>>21 are left.
#### ⟦a 21|27⟧
== markdown
What is 15% of 240, and that taken from 240? 0.15 * 240 = 36; 240 - 36 = 204. The answer is 204.
--
## Discount

- **Share:** 15% of 240 = ⟦d 36|38⟧
- **Rest:** 240 ⟦s -|+⟧ 36 = 204
- *Check:* `204 + 36`, and 204 + 36 = 240

**Final answer:** ⟦a 204|206⟧
== markdown
A tank holds 500 l. It is filled at 25 l per minute. After how many minutes? 500 / 25 = 20. The answer is 20.
--
| step | computation |
|---|---|
| time | 500 / 25 = ⟦d 20|25⟧ |
| check | 20 * 25 = ⟦d 500|550⟧ |

### Answer: ⟦a 20|25⟧
== approximation
The area of a circle with radius 4. $\pi \cdot 4^2 = 16\pi \approx 50.27$. The answer is $16\pi$.
--
The area is $\pi r^2$ with $r = 4$, so $\pi \cdot 4^2 = 16\pi \approx ⟦d 50.27|52.27⟧$. Final answer: $\boxed{⟦a 16|8⟧\pi}$
== approximation
The diagonal of a square of side 10. $10\sqrt{2} \approx 14.14$. The answer is $10\sqrt{2}$.
--
By Pythagoras, $\sqrt{10^2 + 10^2} = \sqrt{200} = 10\sqrt{⟦d 2|3⟧}$, which is about $14.14$: $10\sqrt{2} ≈ ⟦d 14.14|14.24⟧$.
Final answer: $\boxed{10\sqrt{⟦a 2|5⟧}}$
== approximation
10 divided among 3, rounded to cents. 10/3 = 3.33. The answer is 3.33.
--
Each gets 10/3 = ⟦d 3.33|3.43⟧ (rounded to cents). Together that is 3 * 3.33 = ⟦d 9.99|9.89⟧, a cent short.
The answer is ⟦a 3.33|3.43⟧.
== algebra
Expand $(x+2)^2 - (x-1)^2$. It is $x^2 + 4x + 4 - (x^2 - 2x + 1) = 6x + 3$. The answer is $6x + 3$.
--
Expand each square: $(x+2)^2 = ⟦v x^2 + 4x + 4|x^2 + 2x + 4⟧$ and $(x-1)^2 = x^2 - 2x + 1$. Subtract:
$$(x+2)^2 - (x-1)^2 = 4x + 4 + 2x - 1 = 6x + 3.$$
Final answer: $\boxed{⟦a 6x + 3|6x + 5⟧}$
== algebra
Two numbers have sum 20 and difference 4. $x + y = 20$, $x - y = 4$, so $2x = 24$, $x = 12$, $y = 8$. The answer is $12$.
--
From $x + y = 20$ and $⟦v x - y = 4|x - y = 6⟧$ we add: $2x = 20 + 4 = 24$. So $x = 12$ and $y = 20 - 12 = ⟦d 8|9⟧$, that is $y = 8$.
Final answer (the larger): $\boxed{⟦a 12|8⟧}$
== units
A pool is 25 m long. Swim 8 lengths; how many km? 8 * 25 = 200 m = 0.2 km. The answer is 0.2 km.
--
Eight lengths are $8 \cdot 25\text{ m} = ⟦d 200|220⟧\text{ m}$. In kilometres: $200\text{ m} = ⟦d 0.2|0.02⟧\text{ km}$.
Final answer: $\boxed{⟦a 0.2|2⟧\text{ km}}$
== units
How many seconds are 2 hours and 5 minutes? 2 * 3600 + 5 * 60 = 7500. The answer is 7500.
--
Two hours are 2 * 3600 = 7200 seconds and five minutes 5 * 60 = ⟦d 300|350⟧ seconds, so 7200 ⟦s +|-⟧ 300 = 7500 seconds.
The answer is ⟦a 7500|7800⟧.
== trigonometry
Height of a tree 20 m away at 45°. $20 \tan 45^\circ = 20$. The answer is $20$.
--
The height is $20 \cdot \tan 45^\circ = 20 \cdot ⟦d 1|2⟧ = 20$. The third angle: $180^\circ - 90^\circ - 45^\circ = ⟦d 45|55⟧^\circ$.
Final answer: $\boxed{⟦a 20|25⟧}$
== german
Ein Buch kostet 12,50 €, ein Heft 1,20 €. Was kosten ein Buch und drei Hefte? Drei Hefte kosten 3 · 1,20 € = 3,60 €. Zusammen
sind das 12,50 € + 3,60 € = 16,10 €. Die Antwort ist 16,10 €.
--
A book costs €12.50 and a notebook €1.20. Three notebooks cost 3 · €1.20 = €⟦d 3.60|3.20⟧. Together that is €12.50 ⟦s +|-⟧ €3.60 =
€16.10. The answer is €⟦a 16.10|15.10⟧.
== german
Die Summe der Winkel im Dreieck ist 180°. Zwei Winkel sind 35° und 65°. Der dritte ist $180 - 35 - 65 = 80$, also 80°.
Antwort: 80°
--
The angles of a triangle add up to 180°. Two of them are 35° and 65°. The third is $180 - 35 - 65 = ⟦d 80|70⟧$, that is 80°.
Answer: ⟦a 80|85⟧°
== french
Un train roule à 90 km/h pendant 2,5 heures. La distance est $90 \times 2{,}5 = 225$ km. La réponse est 225 km.
--
A train runs at 90 km/h for 2.5 hours. The distance is $90 \times 2.5 = ⟦d 225|235⟧$ km. The answer is ⟦a 225|215⟧ km.
== chinese
小明有24个糖果,分给4个朋友,每人得到24÷4=6个。后来他又买了10个,10-6=4。答案是4。
--
Xiao Ming has 24 candies and shares them among 4 friends, so each gets 24 ÷ 4 = ⟦d 6|8⟧. Later he buys 10 more, and
10 ⟦s -|+⟧ 6 = 4. The answer is ⟦a 4|5⟧.
== chinese
一个长方形的长是8厘米,宽是5厘米。面积为 $8 \times 5 = 40$ 平方厘米,周长为 $2 \times (8 + 5) = 26$ 厘米。答案:$40$
--
A rectangle is 8 cm long and 5 cm wide. Its area is $8 \times 5 = ⟦d 40|45⟧$ square centimetres and its perimeter
$2 \times (8 + 5) = ⟦d 26|28⟧$ centimetres. Answer: $⟦a 40|26⟧$
"""
)

HELD_OUT = _solutions(
    r"""
== latex
Evaluate $2^5 - 3 \cdot 4 + 6$. $32 - 12 + 6 = 26$. The answer is $26$.
--
Powers first, then products: $2^5 = ⟦d 32|30⟧$ and $3 \cdot 4 = 12$. So $2^{5} - 3\cdot 4 + 6 = 32 ⟦s -|+⟧ 12 + 6 = 26$.
$$\boxed{⟦a 26|27⟧}$$
== latex
A die is thrown twice. Probability of two sixes: $\frac16 \cdot \frac16 = \frac{1}{36}$. The answer is $\frac{1}{36}$.
--
The throws are independent, so the probability is $\frac16 \cdot \frac16 = \frac{1}{⟦d 36|12⟧} \approx ⟦d 2.8|3.8⟧\%$.
Final answer: $\boxed{\dfrac{1}{⟦a 36|6⟧}}$
== latex
How many ways to choose 3 of 7? $\binom{7}{3} = 35$. The answer is 35.
--
The order does not matter: $\binom{7}{3} = \frac{7!}{3! \, 4!} = \frac{7 \cdot 6 \cdot 5}{⟦d 6|5⟧} = 35$.

Final answer: $\boxed{⟦a 35|21⟧}$
== latex display
Mean of 4, 8, 15, 16, 23, 42: $108/6 = 18$. The answer is 18.
--
$$
\begin{aligned}
4 + 8 + 15 + 16 + 23 + 42 &= ⟦d 108|118⟧ \\
\frac{108}{6} &= ⟦d 18|19⟧
\end{aligned}
$$
Final answer: $\boxed{⟦a 18|16⟧}$
== latex display
Remainder of $7^{100}$ by 5? $7 \equiv 2$, $2^4 \equiv 1$, so $7^{100} \equiv 1 \pmod 5$. The answer is $1$.
--
Modulo $5$:
\[ 7 \equiv 2 \pmod{5}, \qquad 2^4 = 16 \equiv ⟦d 1|2⟧ \pmod{5}, \qquad 4 \cdot 25 = ⟦d 100|120⟧, \]
so the remainder is $1$. Final answer: $\boxed{⟦a 1|2⟧}$
== plain
Anna saves 8 euros a week for 9 weeks and spends 25. How much is left? 8 * 9 = 72; 72 - 25 = 47. The answer is 47.
--
Savings: 8 * 9 = ⟦d 72|81⟧ euros. After spending 25 euros there are 72 ⟦s -|+⟧ 25 = 47 euros left. So the answer is ⟦a 47|57⟧.
== plain
A field of 3/4 hectare is cut into 6 equal parts. 3/4 / 6 = 1/8. The answer is 1/8.
--
Each part is (3/4) / 6 = 3/24 = 1/⟦d 8|6⟧ of a hectare, or 0.125 in decimals: 1/8 = ⟦d 0.125|0.128⟧. Answer: 1/⟦a 8|9⟧
== plain
3 workers need 8 days. How long do 4 workers need? 3 * 8 = 24 worker days, 24 / 4 = 6 days. The answer is 6.
--
The work is 3 workers * 8 days = ⟦d 24|28⟧ worker-days; with 4 workers it takes 24 / 4 = ⟦d 6|7⟧ days. The answer is ⟦a 6|8⟧.
== plain
A price of $80 rises by 25% and falls by 10%. 80 * 1.25 = 100, 100 * 0.9 = 90. The answer is $90.
--
After the rise: $80 * 1.25 = $⟦d 100|105⟧. After the fall: $100 * 0.9 = $⟦d 90|95⟧. The answer is $⟦a 90|92⟧.
== gsm8k
Ken has 3 packs of 12 cards and gives away 10. 3*12 = <<3*12=36>>36, 36-10 = <<36-10=26>>26.
#### 26
--
Ken starts with 3*12 = <<3*12=36>>⟦d 36|32⟧ cards and keeps 36-10 = <<36-10=⟦d 26|36⟧>>26 cards.
#### ⟦a 26|24⟧
== markdown
Volume of a box 2 by 3 by 4, and of half of it: 2*3*4 = 24, 24/2 = 12. The answer is 12.
--
### Volume
1. Whole box: 2 × 3 × 4 = **⟦d 24|26⟧**
2. Half of it: **24 / 2 = ⟦d 12|14⟧**

> **Answer: ⟦a 12|24⟧**
== approximation
Growth: 1.05 to the power 3 times 200. $200 \cdot 1.05^3 = 231.525 \approx 231.53$. The answer is 231.53.
--
Three years of growth: $200 \cdot 1.05^3 = ⟦d 231.525|241.525⟧ \approx ⟦d 231.53|231.63⟧$. The answer is $⟦a 231.53|230.53⟧$.
== algebra
Solve $5(x - 2) = 3x + 4$. $5x - 10 = 3x + 4$, $2x = 14$, $x = 7$. The answer is $7$.
--
Multiply out: $5(x-2) = ⟦v 5x - 10|5x - 2⟧$. So $5x - 10 = 3x + 4$; subtract $3x$ and add $10$: $⟦v 2x = 14|2x = 16⟧$. Dividing by $2$
gives $x = 7$. Check: $5 \cdot (7 - 2) = ⟦d 25|35⟧$ and $3 \cdot 7 + 4 = 25$. Final answer: $\boxed{⟦a 7|8⟧}$
== algebra
Line through $(1, 3)$ and $(3, 11)$: slope $m = \frac{11 - 3}{3 - 1} = 4$, $b = 3 - 4 = -1$. The answer is $4$.
--
The slope is $m = \frac{11 - 3}{3 - 1} = \frac{8}{2} = ⟦d 4|3⟧$, and from $3 = 4 \cdot 1 + b$ we get $b = 3 ⟦s -|+⟧ 4 = -1$.
Final answer (slope): $\boxed{⟦a 4|-1⟧}$
== units
A recipe needs 250 g flour for 4 people. For 10 people? 250 / 4 = 62.5 g, 62.5 * 10 = 625 g. The answer is 625 g.
--
Per person: $250\text{ g} / 4 = ⟦d 62.5|65.2⟧\text{ g}$; for ten people $10 \cdot 62.5\text{ g} = ⟦d 625|652⟧\text{ g} = 0.625\text{ kg}$.
Final answer: $\boxed{⟦a 625|525⟧\text{ g}}$
== trigonometry
Compute $\sin^2 30^\circ + \cos^2 60^\circ$. $\frac14 + \frac14 = \frac12$. The answer is $\frac12$.
--
Since $\sin 30^\circ = \frac{1}{⟦d 2|3⟧}$ and $\cos 60^\circ = \frac12$, the sum is $\frac14 + \frac14 = \frac{1}{⟦d 2|4⟧}$.
Final answer: $\boxed{\frac{1}{⟦a 2|4⟧}}$
== german
Peter kauft 4 Hefte zu je 0,75 €. Er zahlt mit einem 5-Euro-Schein. 4 · 0,75 = 3 und 5 − 3 = 2. Die Antwort lautet 2 €.
--
Peter buys 4 notebooks at €0.75 each and pays with a 5-euro note. 4 · 0.75 = ⟦d 3|4⟧ and 5 − 3 = ⟦d 2|1⟧. The answer is €⟦a 2|3⟧.
== french
On partage 1 250 euros entre 5 personnes. Chacune reçoit $1250 / 5 = 250$ euros. Réponse : 250
--
1,250 euros are shared among 5 people. Each gets $1250 / 5 = ⟦d 250|240⟧$ euros. Answer: ⟦a 250|275⟧
== chinese
甲车每小时行60千米,3小时行多少千米?60×3=180(千米)。答:180千米。
--
Car A travels 60 kilometres an hour. How far does it travel in 3 hours? 60 × 3 = ⟦d 180|190⟧ (kilometres). Answer: ⟦a 180|160⟧ kilometres.
"""
)
