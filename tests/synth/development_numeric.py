"""Passages full of numbers, which the gate's rules and thresholds were made with."""

from fidelity_passage import Passage

DEVELOPMENT_NUMERIC = (
    Passage(
        "budget",
        "numeric",
        """The town of Elmsford published its accounts for 2019 on Monday. Revenue rose from $48.3 million to $51.7
        million, an increase of 7 percent. Property taxes brought in $29.1 million, fees $8.4 million and grants $14.2
        million. Spending on schools reached $22.6 million, compared with $20.9 million in 2018, while spending on
        roads fell to $6.5 million. The town employs 412 people, of whom 187 work in schools and 64 in the police.
        Debt stands at $33 million, and interest payments cost $1.1 million a year. Mayor Linda Cho said that no taxes
        would be raised in 2020. The council approved the accounts by 8 votes to 3. The opposition, led by Paul Reyes,
        criticised the cuts to roads, and said that two thirds of all bridges needed repair.""",
        (
            """Elmsford's accounts for 2019 were published on Monday. The town's revenue went up 7%, from 48.3 million
            dollars to 51.7 million dollars. Of this, $29.1 million came from property taxes, $8.4 million from fees
            and $14.2 million from grants. $22.6 million was spent on schools, up from $20.9 million in 2018; road
            spending dropped to $6.5 million. Of the 412 people employed by the town, 187 work in schools and 64 in
            the police. The debt is $33 million, and interest costs $1.1 million per year. No taxes would be raised in
            2020, said Mayor Linda Cho. By eight votes to three the council approved the accounts. Opposition leader
            Paul Reyes criticised the cuts in road spending and said that two-thirds of all the bridges were in need
            of repair.""",
            """On Monday the town of Elmsford presented its figures for 2019. Income grew by 7 percent to $51.7m,
            having been $48.3m before. The largest source was property tax with $29.1m, ahead of grants at $14.2m and
            fees at $8.4m. Schools received $22.6m, against $20.9m in 2018, but the sum for roads shrank to $6.5m.
            There are 412 people on the town's payroll: the schools have 187 of them and the police 64. Servicing the
            debt of $33m takes $1.1m each year. According to Mayor Linda Cho, there will be no tax rises in 2020. The
            accounts passed the council with 8 votes in favour and 3 against. For the opposition, Paul Reyes attacked
            the reductions for roads, adding that repair was needed by two thirds of all bridges.""",
        ),
        corruptions=(
            ("number swapped", "$48.3 million to $51.7 million", "$51.7 million to $48.3 million"),
            (
                "number swapped",
                "48.3 million dollars to 51.7 million dollars",
                "51.7 million dollars to 48.3 million dollars",
            ),
            (
                "number swapped",
                "fees $8.4 million and grants $14.2 million",
                "fees $14.2 million and grants $8.4 million",
            ),
            (
                "number swapped",
                "$8.4 million from fees and $14.2 million from grants",
                "$14.2 million from fees and $8.4 million from grants",
            ),
            ("number swapped", "grants at $14.2m and fees at $8.4m", "grants at $8.4m and fees at $14.2m"),
            ("number swapped", "187 work in schools and 64 in the police", "64 work in schools and 187 in the police"),
            (
                "number swapped",
                "schools have 187 of them and the police 64",
                "schools have 64 of them and the police 187",
            ),
            ("number swapped", "by 8 votes to 3", "by 3 votes to 8"),
            ("number off by one", "412", "411"),
            ("number times ten", "$33 million", "$330 million"),
            ("number times ten", "$33m", "$3.3m"),
            ("unit changed", "$6.5 million", "€6.5 million"),
            ("unit changed", "$1.1 million", "$1.1 billion"),
            ("unit changed", "$20.9m", "$20.9bn"),
            ("antonym", "Revenue rose", "Revenue fell"),
            ("antonym", "revenue went up", "revenue went down"),
            ("antonym", "Income grew", "Income shrank"),
            ("negated", "no taxes would be raised", "taxes would be raised"),
            ("negated", "there will be no tax rises", "there will be tax rises"),
            ("negated", "No taxes would be", "Taxes would be"),
            ("names swapped", "Mayor Linda Cho", "Mayor Paul Reyes"),
            ("number changed", "two thirds", "three quarters"),
            ("number changed", "7 percent", "17 percent"),
            ("date changed", "Monday", "Friday"),
        ),
    ),
    Passage(
        "trial",
        "numeric",
        """In a trial at three hospitals, 640 patients received either 50 mg of the new drug or a placebo twice a day
        for 12 weeks. The drug group had 322 patients, the placebo group 318. Blood pressure fell by 14 mmHg in the
        drug group and by 3 mmHg in the placebo group. Headaches were reported by 9% of those who took the drug and by
        6% of the others. Twenty-one patients left the study early, 15 of them in the drug group. No deaths occurred.
        At a dose of 100 mg the effect was not stronger, but side effects were more frequent. The mean age was 57.4
        years and 48% of the patients were women. The study, which cost 2.3 million euros, was paid for by Norvex. It
        was led by Dr Helena Park of Lund University, who published the results in March 2021.""",
        (
            """Three hospitals took part in a trial in which 640 patients were given, two times a day over 12 weeks,
            either 50 milligrams of the new drug or a placebo. There were 322 patients in the drug group and 318 in
            the placebo group. In the drug group blood pressure dropped by 14 mmHg, in the placebo group by 3 mmHg. 9
            percent of those taking the drug reported headaches, compared with 6 percent of the others. 21 patients
            quit the study early; 15 of these were in the drug group. There were no deaths. A dose of 100 mg did not
            have a stronger effect but caused more frequent side effects. The patients' mean age was 57.4, and 48
            percent were women. Norvex paid for the study, which cost €2.3 million. Led by Helena Park of the
            University of Lund, it was published in March 2021.""",
        ),
        corruptions=(
            (
                "number swapped",
                "drug group had 322 patients, the placebo group 318",
                "drug group had 318 patients, the placebo group 322",
            ),
            (
                "number swapped",
                "322 patients in the drug group and 318 in",
                "318 patients in the drug group and 322 in",
            ),
            (
                "number swapped",
                "by 14 mmHg in the drug group and by 3 mmHg",
                "by 3 mmHg in the drug group and by 14 mmHg",
            ),
            ("number swapped", "9% of those who took the drug and by 6%", "6% of those who took the drug and by 9%"),
            ("unit changed", "50 mg", "50 g"),
            ("unit changed", "50 milligrams", "50 micrograms"),
            ("unit changed", "12 weeks", "12 months"),
            ("number off by one", "57.4", "58.4"),
            ("number times ten", "640", "6,400"),
            ("negated", "No deaths occurred", "Deaths occurred"),
            ("negated", "There were no deaths", "There were deaths"),
            ("negated", "was not stronger", "was stronger"),
            ("negated", "did not have a stronger", "had a stronger"),
            ("antonym", "Blood pressure fell", "Blood pressure rose"),
            ("antonym", "blood pressure dropped", "blood pressure increased"),
            ("antonym", "more frequent", "less frequent"),
            ("name replaced", "Norvex", "Pfizer"),
            ("name replaced", "Helena Park", "Helena Berg"),
            ("date changed", "March 2021", "May 2021"),
            (
                "invented",
                "The mean age",
                "Regulators later withdrew the licence because of liver damage. The mean age",
            ),
            ("invented", "Norvex paid", "Critics accused the authors of hiding unpublished data. Norvex paid"),
        ),
    ),
    Passage(
        "match",
        "numeric",
        """Norvik beat Estrela 3-1 in the final of the Northern Cup on Saturday in front of 41,200 spectators. Estrela
        took the lead after 12 minutes through Paulo Reis, but Jan Aker equalised in the 38th minute. Norvik scored
        twice in the second half: Aker hit a penalty in the 61st minute, and Sven Moen added the third goal shortly
        before the end. Estrela had 58 percent of the ball but only four shots on target, while Norvik had nine.
        Goalkeeper Lars Vik saved a penalty from Reis in the 70th minute. It was Norvik's fifth title and its first
        since 2009. Coach Ida Lund said that her team had not been the favourite. The winners receive €4 million, the
        losers €1.5 million. Estrela's captain, Rui Gomes, was sent off in the 85th minute.""",
        (
            """In Saturday's final of the Northern Cup, watched by 41,200 spectators, Norvik defeated Estrela by 3
            goals to 1. Paulo Reis put Estrela ahead after 12 minutes; the equaliser came from Jan Aker in the 38th
            minute. After the break Norvik got two more goals, a penalty by Aker in minute 61 and, not long before the
            final whistle, the third by Sven Moen. Although Estrela had 58% of possession, it managed no more than
            four shots on target, against nine for Norvik. A penalty taken by Reis was saved by goalkeeper Lars Vik in
            the 70th minute, and in the 85th Estrela's captain Rui Gomes was sent off. Norvik has now won the title
            five times, but this is the first since 2009. Her team had not been the favourite, said coach Ida Lund.
            There is prize money of €4 million for the winners and €1.5 million for the losers.""",
        ),
        corruptions=(
            ("roles swapped", "Norvik beat Estrela", "Estrela beat Norvik"),
            ("roles swapped", "Norvik defeated Estrela", "Estrela defeated Norvik"),
            ("number swapped", "38th", "61st"),
            ("number changed", "41,200", "42,100"),
            ("number changed", "58 percent", "85 percent"),
            ("number changed", "58%", "48%"),
            (
                "number swapped",
                "winners receive €4 million, the losers €1.5 million",
                "winners receive €1.5 million, the losers €4 million",
            ),
            (
                "number swapped",
                "€4 million for the winners and €1.5 million for the losers",
                "€1.5 million for the winners and €4 million for the losers",
            ),
            (
                "number swapped",
                "only four shots on target, while Norvik had nine",
                "only nine shots on target, while Norvik had four",
            ),
            ("negated", "had not been the favourite", "had been the favourite"),
            ("names swapped", "Sven Moen added", "Paulo Reis added"),
            ("name replaced", "Lars Vik", "Peter Cech"),
            ("names swapped", "Coach Ida Lund", "Coach Rui Gomes"),
            ("antonym", "shortly before the end", "shortly after the end"),
            ("number changed", "fifth title", "sixth title"),
            ("unit changed", "€1.5 million", "£1.5 million"),
            ("date changed", "2009", "2019"),
            ("names swapped", "saved a penalty from Reis", "saved a penalty from Gomes"),
        ),
    ),
    Passage(
        "census",
        "numeric",
        """According to the 2011 census, the district of Maran has 286,340 inhabitants, of whom 51.3% are women. The
        population grew by 8.4% between 2001 and 2011. Some 62,000 people live in the capital, Tolva, and 19,500 in
        the second-largest town, Beros. Tamil is spoken by 71% of the population, Telugu by 22% and Urdu by 4%. The
        literacy rate is 78.2% for men and 69.5% for women. About 40% of the land is forest; rice is grown on 35% and
        cotton on 9%. The average farm has 1.4 hectares, less than half the national average of 3.1 hectares. Annual
        rainfall is 1,120 mm, most of it between June and September. In 2012 there were 214 schools, 18 hospitals and
        3 colleges. No railway line crosses the district, and the nearest airport is 85 km away.""",
        (
            """The 2011 census counted 286,340 inhabitants in the district of Maran, 51.3 percent of them women. From
            2001 to 2011 the population increased by 8.4 percent. The capital, Tolva, has around 62,000 people; Beros,
            the second-largest town, has 19,500. 71 percent of the inhabitants speak Tamil, 22 percent Telugu and 4
            percent Urdu. 78.2 percent of men and 69.5 percent of women can read and write. Forest covers roughly 40
            percent of the land, while 35 percent is used for rice and 9 percent for cotton. Farms have 1.4 ha on
            average, which is less than half of the 3.1 ha that are usual nationally. It rains 1,120 millimetres a
            year, mostly from June to September. The district had 214 schools, 18 hospitals and three colleges in
            2012. It is not crossed by any railway line, and it is 85 kilometres to the nearest airport.""",
        ),
        corruptions=(
            (
                "number swapped",
                "Tamil is spoken by 71% of the population, Telugu by 22%",
                "Tamil is spoken by 22% of the population, Telugu by 71%",
            ),
            (
                "number swapped",
                "speak Tamil, 22 percent Telugu and 4 percent Urdu",
                "speak Tamil, 4 percent Telugu and 22 percent Urdu",
            ),
            ("number swapped", "78.2% for men and 69.5% for women", "69.5% for men and 78.2% for women"),
            (
                "number swapped",
                "78.2 percent of men and 69.5 percent of women",
                "69.5 percent of men and 78.2 percent of women",
            ),
            ("number swapped", "62,000", "19,500"),
            ("number swapped", "1.4 hectares", "3.1 hectares"),
            ("names swapped", "capital, Tolva", "capital, Beros"),
            ("number off by one", "286,340", "286,341"),
            ("number times ten", "8.4%", "84%"),
            ("number times ten", "8.4 percent", "0.84 percent"),
            ("unit changed", "1,120 mm", "1,120 cm"),
            ("unit changed", "85 km", "85 miles"),
            ("unit changed", "1.4 ha", "1.4 acres"),
            ("negated", "No railway line crosses", "A railway line crosses"),
            ("negated", "is not crossed", "is crossed"),
            ("antonym", "population grew", "population shrank"),
            ("antonym", "population increased", "population declined"),
            ("quantifier changed", "less than half", "more than half"),
            ("date changed", "June and September", "June and October"),
            ("number swapped", "214 schools, 18 hospitals", "18 schools, 214 hospitals"),
            ("name replaced", "Urdu", "Hindi"),
        ),
    ),
    Passage(
        "annual report",
        "numeric",
        """Halden Paper sold goods worth 412.6 million euros in 2023, 8.3% more than in 2022. The packaging division
        grew by 14% to 231.0 million euros, while newsprint fell by 6% to 97.5 million euros. Costs for energy rose
        from 38.2 million to 51.7 million euros. The profit before tax was 29.4 million euros, and shareholders will
        receive a dividend of 1.20 euros a share, after 1.05 euros in the year before. The company employed 2,310
        people at the end of the year, 45 fewer than twelve months earlier. For 2024 the board expects sales of 420 to
        435 million euros. It plans to invest 60 million euros in a new mill in Porvoo.""",
        (
            """In 2023 Halden Paper had sales of €412.6 million, an increase of 8.3% on 2022. Packaging was up by 14
            percent, to €231.0 million, whereas newsprint, at €97.5 million, was down by 6 percent. Energy cost €51.7
            million instead of €38.2 million. Before tax, a profit of €29.4 million remained. A dividend of €1.20 per
            share will be paid to shareholders; the year before it had been €1.05. When the year ended, the staff
            numbered 2,310, which was 45 less than a year earlier. The board's forecast for sales in 2024 is between
            €420 million and €435 million, and a sum of €60 million is to be invested in Porvoo, where a new mill is
            planned.""",
            """The sales of Halden Paper came to 412.6 million euros in 2023 and were thus 8.3 percent above those of
            2022. While the packaging division, with 231.0 million euros, was 14% larger than before, newsprint shrank
            by 6% and brought in 97.5 million euros. The company paid 51.7 million euros for energy, up from 38.2
            million. It made 29.4 million euros before tax. For each share its owners will get a dividend of 1.20
            euros (year before: 1.05 euros). There were 45 fewer employees at the end of the year than twelve months
            before, namely 2,310. Sales of 420 to 435 million euros are what the board expects of 2024. A new mill in
            Porvoo, into which 60 million euros will go, is planned.""",
        ),
        rivals=(("packaging", "newsprint"),),
        strangers=(
            ("Porvoo", "Turku"),
            ("Halden", "Moss"),
        ),
        translated=(
            4,
            """Das Unternehmen beschäftigte am Ende des Jahres 2.310 Menschen, 45 weniger als zwölf Monate zuvor. Für
            2024 erwartet der Vorstand einen Umsatz von 420 bis 435 Millionen Euro. Er plant, 60 Millionen Euro in ein
            neues Werk in Porvoo zu stecken.""",
        ),
    ),
    Passage(
        "velorprine",
        "numeric",
        """The trial enrolled 1,248 adults with high blood pressure at 36 hospitals between March 2015 and June 2018.
        Of these, 626 received 10 mg of velorprine once a day, and 622 received a placebo. After 24 weeks the systolic
        pressure had fallen by 12.4 mmHg in the velorprine group and by 4.1 mmHg in the placebo group. Headache was
        reported by 9% of patients on velorprine and by 7% on placebo. Three patients in the placebo group and one in
        the velorprine group had a stroke. A total of 87 patients left the trial early, 51 of them from the velorprine
        group. Patients over 75 years of age were not admitted.""",
        (
            """From March 2015 to June 2018, thirty-six hospitals recruited 1,248 adults who had high blood pressure.
            A daily dose of 10 mg velorprine was given to 626 of them and a placebo to the other 622. By week 24,
            systolic pressure was lower by 12.4 mmHg with velorprine and by 4.1 mmHg with placebo. Nine percent of
            those who took velorprine had headaches, against seven percent of those who took placebo. Strokes occurred
            in three patients on placebo and in one patient on velorprine. Altogether 87 people dropped out before the
            end; 51 of these had been taking velorprine. Nobody older than 75 was accepted.""",
        ),
        rivals=(("velorprine", "placebo"),),
        strangers=(("velorprine", "cortamide"),),
    ),
    Passage(
        "bread",
        "numeric",
        """For two loaves, mix 750 g of wheat flour with 250 g of rye flour and 20 g of salt. Dissolve 5 g of dry
        yeast in 650 ml of water at 30 °C and knead everything for 12 minutes. Let the dough rest for 90 minutes and
        fold it twice in this time. Divide it into two pieces of about 830 g and shape them. They should rise for
        another 45 minutes under a cloth. Bake them at 240 °C for 15 minutes with steam and then at 200 °C for 30
        minutes without it. The bread is done when the inside has 97 °C. Do not cut it before it has cooled for 2
        hours.""",
        (
            """This makes two loaves. Combine 20 g of salt with 750 grams of wheat flour and 250 grams of rye flour.
            Stir 5 g of dry yeast into 650 millilitres of water (30 °C), add it and knead for twelve minutes. The
            dough then rests an hour and a half, during which it is folded two times. Form two loaves of some 830
            grams each and cover them with a cloth for a further 45 minutes so that they rise. They go into the oven
            at 240 °C, with steam, for a quarter of an hour; after that they are baked without steam at 200 °C for
            half an hour. At 97 °C inside, the bread is ready. It has to cool for two hours before it may be cut.""",
        ),
        rivals=(("wheat", "rye"),),
        strangers=(
            ("rye", "spelt"),
            ("yeast", "soda"),
        ),
    ),
    Passage(
        "skarn",
        "numeric",
        """The census of 1 December 2021 counted 318,440 inhabitants on the two islands, 4.2% fewer than in 2011. On
        Great Skarn the population fell from 251,900 to 236,700, and on Little Skarn it rose from 80,500 to 81,740.
        The average age is 44.6 years, three years more than ten years ago. Of the 139,200 households, 38% consist of
        one person and 12% of five or more. Most of the inhabitants, 71%, own their home. About 26,300 people were
        born abroad, among them 9,800 in Portugal and 4,150 in Ghana. The next census will be held in 2031.""",
        (
            """Two islands with 318,440 inhabitants were recorded by the census of December 1, 2021. That is a
            decrease of 4.2 percent from 2011. Great Skarn now has 236,700 people instead of 251,900; Little Skarn, by
            contrast, has grown, from 80,500 to 81,740. At 44.6 years, the average age is up by three years over the
            decade. There are 139,200 households. In 38 percent of them a person lives alone, and in 12 percent there
            are at least five people. A majority of 71 percent live in a home of their own. The foreign-born number
            about 26,300, of whom 9,800 are from Portugal and 4,150 from Ghana. In 2031 there will be another census,
            the next one.""",
        ),
        rivals=(
            ("Great Skarn", "Little Skarn"),
            ("Portugal", "Ghana"),
        ),
        strangers=(
            ("Portugal", "Romania"),
            ("Ghana", "Senegal"),
        ),
    ),
)
