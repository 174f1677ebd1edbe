"""What rules put into texts: sentences in other languages, invented ones, meta-text and refusals."""

FOREIGN = {
    "German": [
        "Die meisten Bewohner der Gegend leben heute von der Landwirtschaft und vom Handel.",
        "Danach wurde das Vorhaben noch einmal gründlich überarbeitet.",
        "Niemand wusste damals, wie lange die Arbeiten dauern würden.",
        "Diese Angaben gelten nur, wenn alle Bedingungen erfüllt sind.",
        "Schließlich kehrten sie mit leeren Händen in das Dorf zurück.",
        "Der Wert wird dann mit dem vorherigen verglichen und gespeichert.",
    ],
    "French": [
        "La plupart des habitants de la région vivent encore de l'agriculture et du commerce.",
        "Le projet fut ensuite entièrement revu par les autorités.",
        "Personne ne savait combien de temps dureraient les travaux.",
        "Ces valeurs ne sont valables que si toutes les conditions sont remplies.",
        "Ils rentrèrent enfin au village sans avoir rien trouvé.",
        "Le résultat est alors comparé au précédent et enregistré.",
    ],
    "Spanish": [
        "La mayoría de los habitantes de la zona vive todavía de la agricultura y del comercio.",
        "Más tarde el proyecto fue revisado por completo por las autoridades.",
        "Nadie sabía cuánto tiempo iban a durar los trabajos.",
        "Estos valores solo son válidos si se cumplen todas las condiciones.",
        "Por fin volvieron al pueblo sin haber encontrado nada.",
        "El resultado se compara entonces con el anterior y se guarda.",
    ],
}

INVENTED = {
    "encyclopedic": [
        "The event was later made into a film that won three awards.",
        "{name} is also the name of a crater on the far side of the Moon.",
        "A commission of inquiry cast doubt on these figures in 1987.",
        "Most historians now believe that the true date was a year earlier.",
        "It was also the place where the first international treaty on whaling was signed.",
        "{name} had to borrow money from a cousin in order to pay for it.",
    ],
    "narrative": [
        "{name} had brought a small dog, which barked all night.",
        "A bell rang twice, and a boy with a lantern came running up.",
        "It was said that there was a curse on the place.",
        "Nobody had eaten anything but dry bread since the morning.",
        "{name} laughed and told a long story about an uncle in the navy.",
        "Far away a church was burning.",
    ],
    "technical": [
        "The behaviour can be changed with an environment variable at startup.",
        "This was patented by an engineer from Sweden and licensed to two companies.",
        "A later revision made this step optional, but few implementations followed.",
        "The method is also used in the control of satellites.",
        "It is considered unsafe in production and will be removed in the next release.",
        "In practice the step takes about a quarter of the total time.",
    ],
    "numeric": [
        "A further 312 cases were left out because the records had been lost.",
        "Experts regard these figures as too optimistic.",
        "Similar numbers were reported from Denmark.",
        "The cost of collecting the data was paid by a private foundation.",
        "This was the largest change since records began.",
        "The method of measurement was changed in the middle of the period.",
    ],
}

META_TEXT = [
    "Here is the rewritten passage:\n\n{}",
    "Sure! Here's a rephrased version of the text:\n\n{}",
    "Certainly. The following is the passage in a more formal style.\n\n{}",
    "**Rewritten text:**\n\n{}",
    "{}\n\nI hope this helps! Let me know if you would like a shorter version.",
    "{}\n\n(Note: I have kept all facts and figures of the original text.)",
    "{}\n\nIn this rewriting I varied the sentence structure and replaced some words by synonyms.",
    "Of course, I can rephrase this for you. {}",
    "Okay, let me think about how to rewrite this. {}",
    "{} Would you like me to continue with the next paragraph?",
]

REFUSALS = [
    "I'm sorry, but I can't help with that.",
    "I cannot rewrite this text, as it may be protected by copyright.",
    "As an AI language model, I am not able to paraphrase this passage.",
    "I'm unable to assist with this request. Please provide a different text.",
    "Sorry, I don't have enough context to rewrite the passage.",
    "Please provide the text that you would like me to rewrite.",
    "Unfortunately, this content goes against my guidelines, so I have to decline.",
    "I won't be able to do that.",
]
