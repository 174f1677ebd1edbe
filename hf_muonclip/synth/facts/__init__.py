"""What a text says that can be checked without understanding it: numbers, dates, names, claims and their order.

A file per check. `text` cuts a text into tokens and sentences, `reading` reads all its facts once, `alignment` finds
which sentences belong together, `context` and `misfit` hold each number, name and claim against what stands around it.

Rules that a reader may want to know:

- An exact conversion of units is faithful (5 km, 5,000 m), a rounded one is not (5 miles, 8 km). A conversion in
  brackets may come or go ("5 km (3.1 miles)").
- Small numbers in words ("one", "both", "first", "a year") may come and go, but not change.
- Some names may be missing, as lists are summarised; none may be new.
- Sentences may change places, unless words say their order ("then", "finally", "before"), or the text is a narrative:
  many pronouns of persons and verbs in the past, few numbers.
- Markup that the source has not, lists included, is never faithful.

What is known to slip through, above all where a free rewriting was changed: of the development passages left out when
the weights were fitted, among changes that numbers and form do not show and that leave some evidence, about two thirds
of the antonyms, negations and invented sentences are caught, over half of the exchanged names, numbers and quantifiers,
and under half of the exchanged roles, reordered events and changed details. A word replaced by one that is neither in
the table of antonyms nor a name, number, unit or quantifier is not seen at all.

And what is refused although it is faithful: about one in six of the free paraphrases that leave such evidence, and
those that say a number in a way that is not read. Texts in other languages than English: see `check_fidelity`.
"""
