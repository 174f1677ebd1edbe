"""Short numeric passages for development, each with one free paraphrase and many changes of a few words."""

from fidelity_passage import Passage

DEVELOPMENT_NUMERIC_SHORT = (
    Passage(
        "merger",
        "numeric",
        """Delvane Foods will take over its rival Corvo for 1.9 billion dollars, the two companies said on Tuesday.
        Delvane pays 60% in cash and the rest in its own shares. Corvo's owners, the Rossi family, get a seat on
        the board. The new group will have 31,000 employees and sales of 7.4 billion dollars; about 1,200 jobs
        will be cut, mostly in administration. No factories will be closed before 2027. Delvane's shares fell by
        4.5%, while Corvo's gained 18%. Regulators in Brussels have to approve the deal, and a decision is
        expected in the second quarter.""",
        (
            """In a deal announced on Tuesday, Corvo is to be bought by its competitor Delvane Foods. The price is
            $1.9 billion: 60 percent of it will be paid in cash, 40 percent in Delvane stock. One board seat goes
            to the Rossi family, which owns Corvo. Together the companies employ 31,000 people and sell goods
            worth $7.4 billion. Around 1,200 posts, chiefly administrative ones, are going to disappear, but all
            factories will stay open at least until 2027. The market's reaction was mixed, with an 18 percent jump
            for Corvo and a drop of 4.5 percent for Delvane. Whether the takeover may go ahead is up to the
            regulators in Brussels, whose answer should come in the second quarter.""",
        ),
        (
            (
                "roles swapped",
                "Delvane Foods will take over its rival Corvo",
                "Corvo will take over its rival Delvane Foods",
            ),
            (
                "roles swapped",
                "Corvo is to be bought by its competitor Delvane Foods",
                "Delvane Foods is to be bought by its competitor Corvo",
            ),
            ("unit changed", "1.9 billion dollars", "1.9 million dollars"),
            ("unit changed", "$1.9 billion", "€1.9 billion"),
            ("number swapped", "fell by 4.5%, while Corvo's gained 18%", "fell by 18%, while Corvo's gained 4.5%"),
            (
                "number swapped",
                "an 18 percent jump for Corvo and a drop of 4.5 percent for Delvane",
                "a 4.5 percent jump for Corvo and a drop of 18 percent for Delvane",
            ),
            ("negated", "No factories will be closed before 2027", "Some factories will be closed before 2027"),
            ("quantifier changed", "all factories will stay open", "some factories will stay open"),
            ("name replaced", "the Rossi family", "the Bianchi family"),
            ("name replaced", "to the Rossi family", "to the Bianchi family"),
            ("antonym", "Delvane's shares fell", "Delvane's shares rose"),
            ("antonym", "a drop of 4.5 percent for Delvane", "a rise of 4.5 percent for Delvane"),
            ("quantifier changed", "mostly in administration", "partly in administration"),
            ("date changed", "second quarter", "third quarter"),
            ("number off by one", "31,000", "32,000"),
        ),
    ),
    Passage(
        "marathon",
        "numeric",
        """The 38th Kestrel Marathon was won by Abel Mutiso in 2:09:41, 22 seconds ahead of Jonas Frey. Mutiso led
        from kilometre 34 on. Among the women, Lena Sorokina finished first in 2:26:18, her third win in a row. Of
        the 14,320 runners who started, 13,905 reached the finish. It was 16 °C at the start and 24 °C at noon,
        warmer than in any year before. 112 people were treated for dehydration, nine of them in hospital. The
        oldest finisher, Hugo Brandt, is 83 years old and needed 6 hours and 2 minutes.""",
        (
            """Abel Mutiso took the 38th Kestrel Marathon with a time of 2:09:41. Having moved in front at kilometre
            34, he beat Jonas Frey by 22 seconds. Lena Sorokina's 2:26:18 gave her the women's race for the third
            consecutive time. 14,320 people set off and 13,905 got to the end. With 16 degrees at the start and 24
            °C by midday, no previous edition had been so warm; 112 runners needed care because they were
            dehydrated, and for nine of these that meant hospital. At 83, Hugo Brandt was older than everyone else
            who finished. It took him six hours and two minutes.""",
        ),
        (
            (
                "names swapped",
                "won by Abel Mutiso in 2:09:41, 22 seconds ahead of Jonas Frey",
                "won by Jonas Frey in 2:09:41, 22 seconds ahead of Abel Mutiso",
            ),
            ("names swapped", "he beat Jonas Frey by 22 seconds", "he lost to Jonas Frey by 22 seconds"),
            ("antonym", "warmer than in any year", "colder than in any year"),
            ("antonym", "no previous edition had been so warm", "no previous edition had been so cold"),
            ("number changed", "13,905", "13,509"),
            ("number swapped", "16 °C at the start and 24 °C at noon", "24 °C at the start and 16 °C at noon"),
            ("number off by one", "34", "35"),
            ("unit changed", "22 seconds", "22 minutes"),
            ("antonym", "The oldest finisher", "The youngest finisher"),
            ("antonym", "Hugo Brandt was older than everyone", "Hugo Brandt was younger than everyone"),
            ("name replaced", "Lena Sorokina", "Maria Petrova"),
            ("number changed", "third win", "fourth win"),
            ("number changed", "third consecutive", "fourth consecutive"),
            ("invented", "112 people", "A bridge on the course had to be closed for an hour. 112 people"),
            ("invented", "At 83", "A bridge on the course had to be closed for an hour. At 83"),
        ),
    ),
    Passage(
        "water",
        "numeric",
        """The reservoir at Tarn Fell holds 48 million cubic metres when full. In August it was down to 31%, the
        lowest level since 1995. The utility asked households to use less water and banned garden hoses in 14
        districts. Daily demand fell from 212,000 to 187,000 cubic metres. Leaks account for about a fifth of the
        water. A new pipeline from Lake Merrin, 62 km long, will cost 140 million pounds and should be ready by
        2029; it will not be used in normal years. Farmers are not affected by the ban, since they have wells of
        their own.""",
        (
            """Tarn Fell's reservoir, with a capacity of 48 million cubic metres, was only 31 percent full in August,
            which is less than at any time since 1995. In 14 districts garden hoses were prohibited, and private
            customers were urged to save water. As a result, consumption per day dropped to 187,000 cubic metres;
            it had been 212,000. Some 20 percent of the water is lost through leaks. By 2029, at a cost of £140
            million, a pipeline of 62 kilometres is to link the reservoir with Lake Merrin, though it will stand
            idle in normal years. As farmers draw on their own wells, the ban does not concern them.""",
        ),
        (
            ("antonym", "use less water", "use more water"),
            ("antonym", "urged to save water", "urged to waste water"),
            ("antonym", "the lowest level since", "the highest level since"),
            ("antonym", "less than at any time since", "more than at any time since"),
            ("number swapped", "from 212,000 to 187,000", "from 187,000 to 212,000"),
            (
                "number swapped",
                "dropped to 187,000 cubic metres; it had been 212,000",
                "dropped to 212,000 cubic metres; it had been 187,000",
            ),
            ("number times ten", "140 million", "1,400 million"),
            ("unit changed", "62 km", "62 m"),
            ("unit changed", "62 kilometres", "62 miles"),
            ("number changed", "about a fifth of", "about a third of"),
            ("number changed", "Some 20 percent", "Some 30 percent"),
            ("negated", "it will not be used", "it will be used"),
            ("negated", "it will stand idle in", "it will be running in"),
            ("negated", "Farmers are not affected", "Farmers are also affected"),
            ("negated", "the ban does not concern them", "the ban concerns them too"),
            ("quantifier changed", "in 14 districts", "in all districts"),
            ("name replaced", "Lake Merrin", "Lake Odell"),
        ),
    ),
    Passage(
        "prices",
        "numeric",
        """Consumer prices in Norland rose by 3.1% in May, after 3.6% in April. Food became 5.2% more expensive,
        mainly because of vegetables and eggs, while energy was 2.8% cheaper than a year ago. Rents increased by
        1.9%. Without food and energy the inflation rate was 2.7%, lower than the 2.9% that economists had
        predicted. The central bank left its interest rate at 4.25% last week and does not plan to cut it before
        autumn. Wages grew by 4.4% in the first quarter, so that real incomes went up for the third time in a row.""",
        (
            """In Norland inflation slowed to 3.1 percent in May from 3.6 percent the month before. What drove it was
            food, with a rise of 5.2 percent (vegetables and eggs above all); for energy people paid 2.8 percent
            less than twelve months earlier, and for rent 1.9 percent more. The rate excluding energy and food
            stood at 2.7 percent, whereas economists had forecast 2.9. A cut in the interest rate, kept at 4.25
            percent by the central bank a week ago, is not on the agenda until autumn. As wages were 4.4 percent
            higher in the first quarter, real incomes rose for a third consecutive time.""",
        ),
        (
            ("number swapped", "rose by 3.1% in May, after 3.6% in April", "rose by 3.6% in May, after 3.1% in April"),
            ("number swapped", "to 3.1 percent in May from 3.6 percent", "to 3.6 percent in May from 3.1 percent"),
            ("antonym", "energy was 2.8% cheaper", "energy was 2.8% dearer"),
            ("antonym", "people paid 2.8 percent less", "people paid 2.8 percent more"),
            ("antonym", "more expensive", "cheaper"),
            ("antonym", "lower than the 2.9%", "higher than the 2.9%"),
            ("number changed", "4.25", "4.75"),
            ("date changed", "May", "March"),
            ("negated", "does not plan to cut it", "plans to cut it"),
            ("negated", "is not on the agenda until", "is on the agenda before"),
            ("antonym", "real incomes went up", "real incomes went down"),
            ("antonym", "real incomes rose", "real incomes fell"),
            ("name replaced", "Norland", "Estmark"),
            ("number off by one", "first quarter", "second quarter"),
            ("detail changed", "vegetables and eggs", "meat and milk"),
            (
                "number swapped",
                "Without food and energy the inflation rate was 2.7%, lower than the 2.9%",
                "Without food and energy the inflation rate was 2.9%, lower than the 2.7%",
            ),
            ("unit changed", "1.9%", "1.9 points"),
        ),
    ),
    Passage(
        "commute",
        "numeric",
        """According to a survey of 5,600 employees, 57% drive to work, 24% use buses or trains and 13% cycle; the
        rest walk. The average way to work is 16.8 km long and takes 31 minutes. People who cycle are ill less
        often than drivers: 4.1 days a year against 6.3. Two thirds of the drivers could imagine taking the train
        if it came at least every 15 minutes, but only one in ten would accept higher taxes for it. Women work
        closer to their homes than men. The survey was paid for by the railway company Norrail.""",
        (
            """A survey among 5,600 employees found that a car takes 57 percent of them to work, a bus or train 24
            percent and a bicycle 13 percent, while the remainder go on foot. On average they cover 16.8
            kilometres in 31 minutes. Cyclists miss 4.1 days a year through illness, drivers 6.3. A train at
            intervals of no more than 15 minutes might win over two thirds of those who drive; paying more tax for
            this, however, is something that just 10 percent of them would agree to. The distance between home and
            workplace is shorter for women than for men. Norrail, a railway company, financed the survey.""",
        ),
        (
            ("number swapped", "4.1 days a year against 6.3", "6.3 days a year against 4.1"),
            (
                "number swapped",
                "Cyclists miss 4.1 days a year through illness, drivers 6.3",
                "Cyclists miss 6.3 days a year through illness, drivers 4.1",
            ),
            ("number swapped", "57% drive to work, 24% use buses", "24% drive to work, 57% use buses"),
            (
                "number swapped",
                "57 percent of them to work, a bus or train 24 percent",
                "24 percent of them to work, a bus or train 57 percent",
            ),
            ("antonym", "ill less often", "ill more often"),
            ("roles swapped", "Women work closer to their homes than men", "Men work closer to their homes than women"),
            ("roles swapped", "shorter for women than for men", "shorter for men than for women"),
            ("number changed", "Two thirds of the drivers", "Three quarters of the drivers"),
            ("number changed", "two thirds of those", "three quarters of those"),
            ("number changed", "one in ten", "one in five"),
            ("number changed", "just 10 percent", "just 20 percent"),
            ("antonym", "higher taxes", "lower taxes"),
            ("antonym", "paying more tax", "paying less tax"),
            ("bound turned", "at least every 15 minutes", "at most every 15 minutes"),
            ("bound turned", "no more than 15 minutes", "no less than 15 minutes"),
            ("name replaced", "Norrail", "Busline"),
            ("unit changed", "31 minutes", "31 hours"),
            ("unit changed", "16.8 km", "16.8 miles"),
        ),
    ),
    Passage(
        "harvest",
        "numeric",
        """Farmers in the Loden valley harvested 1.32 million tonnes of wheat this year, 11% less than in the
        previous one. Drought in May hit the south hardest, where yields fell to 4.8 tonnes per hectare; in the
        north they reached 7.1. Maize did better, since it rained enough in July. Prices rose to 241 euros a tonne
        in September. About 300 farms applied for aid, and the ministry granted it to 212 of them. The minister,
        Eva Kranz, ruled out an export ban. Next year's area will be 6% smaller, because many farmers are
        switching to sunflowers.""",
        (
            """This year's wheat harvest in the Loden valley came to 1.32 million tonnes, down 11 percent on the year
            before. It was the south that suffered most from the drought in May: it brought in only 4.8 tonnes per
            hectare, against 7.1 in the north. With sufficient rain in July, maize fared better. By September a
            tonne cost €241. Aid was requested by roughly 300 farms and approved by the ministry for 212. A ban on
            exports will not come, according to the minister, Eva Kranz. As sunflowers are replacing wheat on many
            farms, its area is going to shrink by 6 percent next year.""",
        ),
        (
            (
                "number swapped",
                "yields fell to 4.8 tonnes per hectare; in the north they reached 7.1",
                "yields fell to 7.1 tonnes per hectare; in the north they reached 4.8",
            ),
            ("number swapped", "only 4.8 tonnes per hectare, against 7.1", "only 7.1 tonnes per hectare, against 4.8"),
            ("antonym", "hit the south hardest", "hit the north hardest"),
            ("antonym", "It was the south that", "It was the north that"),
            ("antonym", "11% less than", "11% more than"),
            ("antonym", "down 11 percent", "up 11 percent"),
            ("negated", "ruled out an export ban", "announced an export ban"),
            ("negated", "A ban on exports will not come", "A ban on exports will come"),
            ("unit changed", "241 euros", "241 dollars"),
            ("unit changed", "€241", "$241"),
            ("number changed", "212", "221"),
            ("date changed", "in July", "in June"),
            ("detail changed", "switching to sunflowers", "switching to potatoes"),
            ("detail changed", "As sunflowers are", "As potatoes are"),
            ("antonym", "Maize did better", "Maize did worse"),
            ("antonym", "maize fared better", "maize fared worse"),
            ("antonym", "6% smaller", "6% larger"),
            ("antonym", "to shrink by 6 percent", "to grow by 6 percent"),
            ("name replaced", "Eva Kranz", "Ute Berger"),
            ("unit changed", "1.32 million tonnes", "1.32 million kilograms"),
        ),
    ),
)
