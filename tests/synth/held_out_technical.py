"""Passages that explain how something works, which the gate's rules and thresholds have never seen."""

from fidelity_passage import Passage

HELD_OUT_TECHNICAL = (
    Passage(
        "battery",
        "technical",
        """A lithium-ion cell stores energy by moving lithium ions between two electrodes. During discharge the ions
        travel from the graphite anode through the electrolyte to the metal-oxide cathode; during charging they travel
        back. The nominal voltage of a cell is 3.7 V, and it must never be charged above 4.2 V. Below 0 °C the cell
        should not be charged at all, because metallic lithium may form on the anode. A typical cell of type 18650 has
        a diameter of 18 mm, a length of 65 mm and a capacity of 2,500 mAh. After about 500 full cycles it keeps at
        least 80% of its capacity. Storing it at half charge slows ageing. Always disconnect the charger before you
        open the housing.""",
        (
            """Energy is stored in a lithium-ion cell by lithium ions that move between two electrodes: on discharge
            from the graphite anode through the electrolyte to the cathode, which is a metal oxide, and on charging in
            the opposite direction. The cell has a nominal voltage of 3.7 volts. Never charge it above 4.2 volts, and
            do not charge it at temperatures below 0 °C, since metallic lithium may then form on the anode. A cell of
            the common type 18650 is 18 mm in diameter and 65 mm long, with a capacity of 2500 mAh, of which at least
            80 percent remain after some 500 full cycles. Ageing is slower if the cell is stored half charged. Before
            opening the housing, always disconnect the charger.""",
            """Two electrodes and an electrolyte make up a lithium-ion cell. When the cell is discharged, lithium ions
            pass through the electrolyte from the anode, made of graphite, to the cathode, made of a metal oxide.
            Charging drives them back again. 3.7 V is the nominal voltage; 4.2 V must never be exceeded in charging.
            There should be no charging at all when it is colder than 0 °C, for metallic lithium could build up on the
            anode. The typical 18650 cell measures 18 mm across and 65 mm in length and holds 2,500 mAh. About 500
            full cycles leave it with 80% of its capacity or more. It ages more slowly when kept at half charge. The
            charger must always be disconnected before the housing is opened.""",
        ),
        corruptions=(
            ("number changed", "3.7 V", "7.3 V"),
            ("number changed", "3.7 volts", "2.7 volts"),
            ("number off by one", "4.2", "4.3"),
            ("number swapped", "18 mm", "65 mm"),
            ("number times ten", "2,500", "25,000"),
            ("number times ten", "2500", "250"),
            ("number off by one", "500 full", "501 full"),
            ("number changed", "80", "60"),
            ("unit changed", "18 mm", "18 cm"),
            ("unit changed", "0 °C", "0 °F"),
            ("unit changed", "mAh", "Ah"),
            ("negated", "must never be charged", "may be charged"),
            ("negated", "Never charge it", "Always charge it"),
            ("negated", "must never be exceeded", "must always be exceeded"),
            ("negated", "should not be charged at all", "should be charged"),
            ("negated", "do not charge it at", "charge it at"),
            ("antonym", "slows ageing", "speeds up ageing"),
            ("antonym", "Ageing is slower", "Ageing is faster"),
            ("antonym", "ages more slowly", "ages more quickly"),
            ("quantifier changed", "at least 80", "at most 80"),
            ("quantifier changed", "or more", "or less"),
            ("quantifier changed", "charged above 4.2 V", "charged below 4.2 V"),
            ("events reordered", "before you open the housing", "after you open the housing"),
            ("events reordered", "Before opening the housing", "After opening the housing"),
            ("events reordered", "before the housing is opened", "after the housing is opened"),
            (
                "roles swapped",
                "from the graphite anode through the electrolyte to the metal-oxide cathode",
                "from the metal-oxide cathode through the electrolyte to the graphite anode",
            ),
            ("quantifier changed", "Always disconnect", "Sometimes disconnect"),
            ("invented", "A typical cell", "The casing is painted green. A typical cell"),
        ),
    ),
    Passage(
        "git",
        "technical",
        """Git stores every version of a project as a snapshot and names each commit by a SHA-1 hash of 40 hexadecimal
        digits. Linus Torvalds wrote the first version in April 2005, after the Linux kernel lost its free licence for
        BitKeeper. A branch is only a movable pointer to a commit, so creating one takes a few milliseconds. `git
        fetch` downloads new commits from a remote repository but does not change your working files; `git pull`
        fetches first and then merges. Commits that no branch reaches are deleted by garbage collection after 30 days.
        Most hosting services reject files larger than 100 MB. Junio Hamano has maintained Git since July 2005.""",
        (
            """In Git each version of a project is kept as a snapshot, and each commit is named by a 40-digit
            hexadecimal SHA-1 hash. The first version was written by Linus Torvalds in April 2005, when the Linux
            kernel had lost its free BitKeeper licence. Since a branch is just a pointer to a commit that can move, it
            takes only a few milliseconds to create one. New commits are downloaded from a remote repository by `git
            fetch`, which leaves your working files unchanged; `git pull` first fetches and then merges. Garbage
            collection deletes commits that are reached by no branch after 30 days. Files of more than 100 MB are
            rejected by most hosting services. Git has been maintained by Junio Hamano since July 2005.""",
            """Every version of a project is saved by Git as a snapshot. A SHA-1 hash, 40 hexadecimal digits long,
            serves as the name of a commit, and a branch is nothing more than a movable pointer to such a commit;
            making one is a matter of a few milliseconds. Git goes back to April 2005: BitKeeper was no longer free
            for the Linux kernel, so Linus Torvalds wrote a first version. Junio Hamano took over in July 2005 and has
            maintained it ever since. With `git fetch` you download new commits from a remote repository, and your
            working files stay as they are. `git pull` begins with a fetch and continues with a merge. After 30 days
            garbage collection removes commits that cannot be reached from any branch. A file over 100 MB is refused
            by most hosting services.""",
        ),
        corruptions=(
            ("number changed", "40", "64"),
            ("number off by one", "30 days", "31 days"),
            ("number times ten", "100 MB", "1,000 MB"),
            ("unit changed", "100 MB", "100 GB"),
            ("unit changed", "milliseconds", "seconds"),
            ("unit changed", "30 days", "30 weeks"),
            ("date changed", "April 2005", "August 2005"),
            ("date changed", "July 2005", "July 2015"),
            ("negated", "does not change your working files", "changes your working files"),
            ("negated", "leaves your working files unchanged", "changes your working files"),
            ("negated", "Commits that no branch reaches", "Commits that a branch reaches"),
            ("negated", "cannot be reached", "can be reached"),
            ("antonym", "Most hosting services reject", "Most hosting services accept"),
            ("antonym", "files larger than", "files smaller than"),
            ("antonym", "Files of more than", "Files of less than"),
            ("antonym", "downloads new commits from", "uploads new commits to"),
            ("quantifier changed", "Most hosting services", "No hosting services"),
            ("quantifier changed", "by most hosting services", "by no hosting services"),
            ("name replaced", "Linus Torvalds", "Richard Stallman"),
            ("name replaced", "BitKeeper", "Subversion"),
            ("name replaced", "SHA-1", "MD5"),
            ("names swapped", "Junio Hamano has maintained", "Linus Torvalds has maintained"),
            ("events reordered", "fetches first and then merges", "merges first and then fetches"),
            ("events reordered", "first fetches and then merges", "first merges and then fetches"),
            ("roles swapped", "`git fetch` downloads new", "`git pull` downloads new"),
            ("invented", "A branch is only", "Its logo is a red diamond. A branch is only"),
        ),
    ),
    Passage(
        "tcp",
        "technical",
        """A TCP connection is opened in three steps. The client sends a segment with the SYN flag and a random
        sequence number. The server answers with SYN and ACK, and it acknowledges the number of the client plus one.
        The client then sends an ACK, and both sides may send data. If the server gets no answer, it repeats its
        segment up to five times before it gives up. Each segment has a header of at least 20 bytes and at most 60
        bytes. The window field tells the sender how many bytes the receiver can still take, so that a fast sender
        does not flood a slow receiver. A connection is closed with FIN segments in both directions.""",
        (
            """Opening a TCP connection takes three steps. First the client transmits a segment in which the SYN flag
            is set and which carries a sequence number chosen at random. In its reply the server sets both SYN and
            ACK; the number it acknowledges is the client's plus 1. With an ACK from the client the exchange is
            complete, and either side can send data. A server that receives no answer sends its segment again, at most
            five times, and then gives up. Headers of segments are between 20 and 60 bytes long. By the window field
            the receiver lets the sender know how many more bytes it can accept, which keeps a fast sender from
            flooding a slow receiver. To close a connection, FIN segments are sent each way.""",
        ),
        rivals=(
            ("client", "server"),
            ("sender", "receiver"),
        ),
        strangers=(
            ("FIN", "RST"),
            ("TCP", "UDP"),
        ),
        translated=(
            4,
            """Si el servidor no recibe respuesta, repite su segmento hasta cinco veces antes de rendirse. Cada
            segmento tiene una cabecera de al menos 20 bytes y como máximo 60 bytes. El campo de ventana indica al
            emisor cuántos bytes puede aceptar todavía el receptor. Una conexión se cierra con segmentos FIN en ambas
            direcciones.""",
        ),
    ),
    Passage(
        "haber process",
        "technical",
        """The Haber process makes ammonia from nitrogen and hydrogen. The two gases are mixed in a ratio of one to
        three, compressed to about 200 bar and passed over an iron catalyst at 400 to 500 °C. A higher temperature
        speeds the reaction up but lowers the share of ammonia at equilibrium, so the temperature is a compromise.
        Only about 15 percent of the gas reacts in each pass. The ammonia is cooled until it becomes liquid and is
        drawn off, and the rest of the gas is returned to the reactor. Sulfur must be removed from the hydrogen
        beforehand, because it poisons the catalyst. The process uses between 1 and 2 percent of the world's
        energy.""",
        (
            """In the Haber process, ammonia is produced from hydrogen and nitrogen. One part of nitrogen and three
            parts of hydrogen are put under a pressure of about 200 bar and led, at 400–500 °C, across a catalyst of
            iron. The temperature is a compromise: the hotter it is, the faster the reaction runs, but the less
            ammonia there is at equilibrium. No more than roughly 15% of the gas is converted per pass. Cooling
            liquefies the ammonia, which can then be taken out, while what is left of the gas goes back into the
            reactor. Because sulfur would poison the catalyst, it has to be taken out of the hydrogen first.
            Worldwide, the process accounts for 1 to 2% of energy use.""",
            """Ammonia is made out of nitrogen and hydrogen by the Haber process. For every volume of nitrogen, three
            volumes of hydrogen are used. The mixture is compressed to approximately 200 bar and flows over a catalyst
            made of iron, whose temperature is between 400 and 500 °C. If it were hotter, the reaction would go
            faster, yet the equilibrium would contain a smaller share of ammonia, so a compromise is needed. At each
            pass about 15 percent of the gas reacts, and not more. Once cooled, the ammonia turns liquid and is drawn
            off; the remaining gas returns to the reactor. Before all this, the hydrogen is freed of sulfur, a poison
            for the catalyst. From 1 to 2 percent of all energy in the world is spent on the process.""",
        ),
        rivals=(("ammonia", "hydrogen"),),
        strangers=(
            ("iron", "platinum"),
            ("Sulfur", "Chlorine"),
            ("nitrogen", "helium"),
        ),
    ),
    Passage(
        "jpeg",
        "technical",
        """JPEG compresses photographs in several steps. The picture is first converted from red, green and blue to
        one channel for brightness and two for colour. The colour channels are usually halved in width and height,
        because the eye sees colour less sharply than brightness. Each channel is divided into blocks of 8 by 8
        pixels, and a cosine transform turns each block into 64 coefficients. These are divided by the numbers of a
        table and rounded, and this is the step in which information is lost. Finally the coefficients are read in a
        zigzag and stored with Huffman codes. A picture saved at quality 75 is typically ten times smaller than the
        raw pixels. Each saving after an edit loses a little more.""",
        (
            """The compression of photographs by JPEG has several stages. It begins by turning red, green and blue
            into a brightness channel and two colour channels. Since our eyes are less sharp for colour than for
            brightness, the latter two are as a rule reduced to half the width and half the height. All channels are
            cut into blocks, 8 × 8 pixels each, from every one of which a cosine transform makes 64 coefficients.
            Division by the entries of a table and rounding come next; here is where information gets lost. At the end
            a zigzag order is used for reading the coefficients, and Huffman codes for storing them. At quality 75 the
            file is as a rule a tenth as large as the raw pixels. With every edit that is saved, a little more is
            lost.""",
        ),
        rivals=(("colour", "brightness"),),
        strangers=(
            ("Huffman", "Shannon"),
            ("cosine", "wavelet"),
        ),
    ),
)
