"""Technical passages on computers for development, each paraphrased in two styles."""

from fidelity_passage import Passage

DEVELOPMENT_TECHNICAL_COMPUTERS = (
    Passage(
        "dns",
        "technical",
        """When a browser needs the address of a host, it first looks into its own cache and then asks a resolver,
        which usually belongs to the provider. If the resolver does not know the answer, it asks a root server. The
        root server does not know the address either, but it names the servers of the top-level domain, and these name
        the servers of the host's own domain, which give the answer. The resolver keeps the answer as long as its time
        to live says, often 300 seconds, so that changes are not seen at once everywhere. Queries are normally sent
        over UDP; when the answer is too long for one packet, the query is repeated over TCP. Without DNSSEC, a
        resolver cannot tell a forged answer from a real one.""",
        (
            """Finding out a host's address takes several steps for a browser. First comes its own cache, next the
            resolver, usually that of the provider. A resolver without the answer turns to one of the root servers.
            This one does not have the address either; what it returns is the names of the servers for the top-level
            domain. From these the resolver gets the names of the servers in charge of the host's own domain, and
            there the answer is found. For as long as the time to live prescribes, which is often 300 seconds, the
            answer stays with the resolver, and therefore a change does not become visible everywhere immediately. UDP
            is what normally carries the queries. Should an answer not fit into a single packet, the query is sent
            again by TCP. There is no way for a resolver to distinguish forged answers from real ones unless DNSSEC is
            in use.""",
            """How does my browser get from a name to an address? It looks in its cache, and if there's nothing, it
            asks a resolver, as a rule your provider's. And if the resolver has no idea? It asks a root server. Does
            the root server know? No, but it says who serves the top-level domain, and they in turn say who serves the
            domain of the host, and those servers answer. Why don't I see a change straight away? Because the resolver
            remembers the answer for its time to live, and that's often 300 seconds. UDP or TCP? Normally UDP. If the
            answer is longer than one packet, the question is asked again over TCP. Could somebody fake an answer?
            Yes, and without DNSSEC the resolver can't tell.""",
        ),
        corruptions=(
            (
                "negated",
                "This one does not have the address either; what it returns",
                "This one does have the address as well; what it returns",
            ),
            (
                "events reordered",
                "First comes its own cache, next the resolver",
                "First comes the resolver, next its own cache",
            ),
            ("names swapped", "UDP is what normally carries the queries", "TCP is what normally carries the queries"),
            ("quantifier changed", "often 300 seconds", "always 300 seconds"),
            ("negated", "unless DNSSEC is in use", "even if DNSSEC is in use"),
            (
                "roles swapped",
                "it asks a resolver, as a rule your provider's",
                "a resolver asks it, as a rule your provider's",
            ),
            ("negated", "without DNSSEC the resolver can't tell", "without DNSSEC the resolver can tell"),
            ("antonym", "If the answer is longer than one packet", "If the answer is shorter than one packet"),
            ("unit changed", "that's often 300 seconds", "that's often 300 minutes"),
            (
                "invented",
                "Could somebody fake an answer?",
                "Root servers are switched off at night. Could somebody fake an answer?",
            ),
        ),
        rewordings=(
            ("synonyms", "immediately. UDP", "at once. UDP"),
            ("synonyms", "distinguish forged answers from real ones", "tell forged answers from real ones"),
        ),
    ),
    Passage(
        "two phase commit",
        "technical",
        """Two-phase commit makes several databases agree on whether a transaction takes place. In the first phase the
        coordinator asks every participant to prepare. A participant that can commit writes the changes and its vote
        to disk and answers yes; from then on it may not change its mind. In the second phase the coordinator sends a
        commit if all have answered yes, and an abort if any has answered no or has not answered in time. It writes
        its decision to disk before it sends it. If the coordinator fails after the votes, the participants that voted
        yes must keep their locks and wait, since they cannot know what was decided. For this reason the protocol is
        called blocking, and long-running systems often replace it by compensating actions.""",
        (
            """Whether a transaction is carried out must be agreed upon when several databases are involved, and
            two-phase commit is a way to do so. The coordinator begins by asking all participants to prepare; that is
            phase one. Whoever is able to commit records the changes as well as its vote on disk before saying yes,
            and this vote is final. Phase two: when everyone has said yes, the coordinator sends a commit. It sends an
            abort when at least one said no or gave no answer in time. In either case the decision is on disk before
            it goes out. A failure of the coordinator once the votes are in leaves those who voted yes waiting, with
            their locks held, for they have no means of knowing the decision. That is why one speaks of a blocking
            protocol, and why in systems that run for long it is often replaced with compensating actions.""",
            """Two-phase commit in short. Purpose: several databases, one transaction, all do it or none does. Roles:
            a coordinator and the participants. Phase 1: the coordinator tells each participant to prepare. One that
            can commit puts its changes and its vote on disk, then replies yes, and may not go back on that. Phase 2:
            only yes votes, so the coordinator sends commit; some no, or some reply missing when time is up, so it
            sends abort. The decision is written to disk first and sent afterwards. Weakness: if the coordinator goes
            down after the voting, participants with a yes vote do not know the outcome, so they wait and do not
            release their locks. Hence the name, a blocking protocol, and hence compensating actions are often used in
            its place where systems run for a long time.""",
        ),
        corruptions=(
            (
                "quantifier changed",
                "when everyone has said yes, the coordinator sends a commit",
                "when anyone has said yes, the coordinator sends a commit",
            ),
            (
                "events reordered",
                "In either case the decision is on disk before it goes out",
                "In either case the decision is on disk after it goes out",
            ),
            (
                "negated",
                "for they have no means of knowing the decision",
                "although they have means of knowing the decision",
            ),
            (
                "roles swapped",
                "A failure of the coordinator once the votes are in leaves those who voted yes waiting",
                "A failure of those who voted yes once the votes are in leaves the coordinator waiting",
            ),
            ("negated", "and this vote is final", "and this vote is not final"),
            (
                "antonym",
                """so the coordinator sends commit; some no, or some reply missing when time is up, so it sends
                abort""",
                """so the coordinator sends abort; some no, or some reply missing when time is up, so it sends
                commit""",
            ),
            ("negated", "so they wait and do not release their locks", "so they wait and release their locks"),
            (
                "events reordered",
                "The decision is written to disk first and sent afterwards",
                "The decision is sent first and written to disk afterwards",
            ),
            (
                "roles swapped",
                "Phase 1: the coordinator tells each participant to prepare",
                "Phase 1: each participant tells the coordinator to prepare",
            ),
            ("invented", "Weakness: if the coordinator", "Votes are encrypted. Weakness: if the coordinator"),
        ),
        rewordings=(
            ("synonyms", "carried out", "executed"),
            ("synonyms", "goes down after the voting", "fails after the voting"),
        ),
    ),
    Passage(
        "hash table",
        "technical",
        """A hash table stores pairs of keys and values in an array of slots. A hash function turns each key into a
        number, and the remainder of this number by the count of slots is the slot where the pair belongs. If two keys
        belong to the same slot, the second is put into the next free one. To find a key, the table looks at its slot
        and goes on until it meets the key or an empty slot. A deleted pair therefore must not leave its slot empty: a
        marker is put there, which searches pass over and insertions may use again. When more than two thirds of the
        slots are in use, the array is doubled and every pair is inserted anew. A lookup takes constant time on
        average, but linear time when all keys collide.""",
        (
            """A hash table is like a wall of little boxes. In the boxes it keeps pairs, each one a key together with
            a value. Which box does a pair go into? A hash function makes a number out of the key; you divide that by
            how many boxes there are, and the remainder tells you the box. Sometimes two keys want the same box. Then
            the second one goes into the next box that is free. When the table searches for a key, it starts at the
            key's box and carries on until it comes to the key, or else to an empty box. That is why a box may not
            just be emptied when its pair is deleted. It gets a marker, so that a search walks past, and a new pair
            may be put there later. Once over two thirds of the boxes are taken, there will be twice as many boxes,
            and all of the pairs are put in again. Looking something up needs constant time on average, but if every
            key wants the same box, it needs linear time.""",
            """In a hash table, pairs of a key and a value live in an array. The slot of a pair is computed by hashing
            its key to a number and taking the remainder after division by the number of slots. Should a slot be
            claimed by two keys, the later one moves on to the next slot that is free. Lookups begin at the slot of
            the key and advance to the first slot that either holds the key or is empty, from which it follows that
            deletion cannot simply empty a slot. Instead it leaves a marker, skipped by searches and reusable by
            insertions. As soon as the share of slots in use exceeds two thirds, the table allocates an array of twice
            the size and reinserts each pair. The average cost of a lookup is constant; with collisions among all keys
            it becomes linear.""",
        ),
        corruptions=(
            (
                "roles swapped",
                "A hash function makes a number out of the key",
                "A hash function makes a key out of the number",
            ),
            (
                "negated",
                "a box may not just be emptied when its pair is deleted",
                "a box may just be emptied when its pair is deleted",
            ),
            (
                "quantifier changed",
                "Once over two thirds of the boxes are taken",
                "Once under two thirds of the boxes are taken",
            ),
            ("antonym", "there will be twice as many boxes", "there will be half as many boxes"),
            ("names swapped", "the remainder tells you the box", "the quotient tells you the box"),
            (
                "antonym",
                "The average cost of a lookup is constant; with collisions among all keys it becomes linear",
                "The average cost of a lookup is linear; with collisions among all keys it becomes constant",
            ),
            (
                "roles swapped",
                "skipped by searches and reusable by insertions",
                "skipped by insertions and reusable by searches",
            ),
            ("negated", "that either holds the key or is empty", "that neither holds the key nor is empty"),
            ("quantifier changed", "with collisions among all keys", "with collisions among a few keys"),
            ("invented", "Lookups begin at", "Long keys are compressed. Lookups begin at"),
        ),
        rewordings=(
            ("number words", "exceeds two thirds", "exceeds 2/3"),
            ("synonyms", "Looking something up needs", "Finding something takes"),
        ),
    ),
    Passage(
        "raid 5",
        "technical",
        """RAID 5 spreads data over at least three disks so that any one of them may fail. Each stripe holds a block
        of data on all disks but one, and on that one the parity of the others. The parity is not always on the same
        disk, because every write must update it and one disk would slow the array down. If a disk fails, its blocks
        are computed from those of the remaining disks, and the array keeps working, though reads become slower. A new
        disk is then filled in the same way. If a second disk fails before this is finished, all data is lost. With
        large disks the rebuilding takes many hours, during which the others are read from end to end, so that a
        second failure is more likely than usual. RAID 5 is no substitute for a backup.""",
        (
            """With RAID 5, data are distributed across three disks or more in such a way that one of them, whichever
            it is, can fail. In every stripe all disks except one contain a block of data; the remaining one contains
            their parity. Its place changes from stripe to stripe, for parity has to be updated with each write, and
            keeping it on a single disk would make the array slow. When a disk has failed, what was on it is
            calculated from the blocks on the rest, so that the array continues to work, only with slower reads. The
            replacement disk is filled by the same calculation. Should another disk fail before that is complete,
            everything is lost. For large disks the process lasts many hours, and as the other disks are read
            completely in that time, another failure is likelier than it normally is. A backup cannot be replaced by
            RAID 5.""",
            """OK, RAID 5. You need at least three disks, and any one of them can die on you. How it works is this: in
            each stripe you've got data on every disk but one, and the last one gets the parity of those blocks. It's
            a different disk from stripe to stripe, because the parity is written at every write, and if it were
            always the same disk, that disk would hold up the whole array. Now a disk dies. Its blocks can be worked
            out from the others, so you keep going, just with slower reads. You put a new disk in, and it gets filled
            the same way. But if another one dies while that's still going on, all your data is gone. And with big
            disks, the rebuild goes on for many hours, with the other disks being read from one end to the other, so a
            second failure is more likely then than at other times. So no, RAID 5 doesn't save you from having a
            backup.""",
        ),
        corruptions=(
            ("quantifier changed", "three disks or more in such a way", "three disks or fewer in such a way"),
            ("negated", "A backup cannot be replaced by RAID 5", "A backup can be replaced by RAID 5"),
            ("antonym", "only with slower reads", "only with faster reads"),
            (
                "roles swapped",
                "all disks except one contain a block of data; the remaining one contains their parity",
                "all disks except one contain the parity; the remaining one contains a block of data",
            ),
            (
                "events reordered",
                "Should another disk fail before that is complete",
                "Should another disk fail after that is complete",
            ),
            ("negated", "if it were always the same disk", "if it were never the same disk"),
            (
                "antonym",
                "so a second failure is more likely then than at other times",
                "so a second failure is less likely then than at other times",
            ),
            ("quantifier changed", "all your data is gone", "some of your data is gone"),
            ("unit changed", "the rebuild goes on for many hours", "the rebuild goes on for many minutes"),
            ("invented", "Now a disk dies.", "The controller sends an e-mail every morning. Now a disk dies."),
        ),
        rewordings=(
            ("number words", "at least three disks, and", "at least 3 disks, and"),
            ("synonyms", "continues to work", "keeps working"),
        ),
    ),
    Passage(
        "floating point",
        "technical",
        """Adding 0.1 and 0.2 in double precision does not give exactly 0.3, because none of the three can be written
        as a finite binary fraction. A double has 64 bits: one for the sign, 11 for the exponent and 52 for the
        fraction. Each result is rounded to the nearest value that can be represented; if two are equally near, the
        one whose last bit is zero is taken. Sums therefore depend on the order in which numbers are added, and small
        ones should come first. Two results should not be compared for equality but for a difference smaller than a
        tolerance. Integers are exact up to 2 to the power of 53. For money, decimal types or integers of cents are
        used instead. The value NaN is not equal to anything, not even to itself.""",
        (
            """In double precision, 0.1 plus 0.2 is not exactly 0.3. The reason is that as a binary fraction each of
            these three would go on without end. The 64 bits of a double are divided into one sign bit, 11 bits of
            exponent and 52 bits of fraction. What an operation yields is rounded to the representable value that is
            nearest, and in the case of a tie to that with a zero as its last bit. It follows that a sum depends on
            the order of its terms; it is better to begin with the small ones. One should check whether the difference
            of two results is below a tolerance, and not whether they are equal. Up to 2 to the power of 53, integers
            are represented exactly. Decimal types, or integers counting cents, are what is used for amounts of money.
            NaN equals nothing, itself included.""",
            """Why isn't 0.1 + 0.2 exactly 0.3? Because doubles are binary, and in binary none of these three numbers
            comes to an end. What is in a double? 64 bits, of which the sign takes one, the exponent 11 and the
            fraction 52. What happens to a result that doesn't fit? It's rounded to the nearest number that does, and
            if there are two, to the one that ends in a zero bit. Does order matter when I add? It does; start with
            the small numbers. How do I compare two results? Not with equals. See if they differ by less than some
            tolerance. Are integers safe? Yes, they are exact as far as 2 to the power of 53. What about money? For
            that you take a decimal type or count cents as integers. And NaN? It isn't equal to anything, itself among
            them.""",
        ),
        corruptions=(
            ("negated", "0.1 plus 0.2 is not exactly 0.3", "0.1 plus 0.2 is exactly 0.3"),
            ("antonym", "it is better to begin with the small ones", "it is better to begin with the large ones"),
            (
                "number swapped",
                "11 bits of exponent and 52 bits of fraction",
                "52 bits of exponent and 11 bits of fraction",
            ),
            ("quantifier changed", "NaN equals nothing, itself included", "NaN equals nothing but itself"),
            (
                "negated",
                "It follows that a sum depends on the order of its terms",
                "It follows that a sum does not depend on the order of its terms",
            ),
            (
                "antonym",
                "See if they differ by less than some tolerance",
                "See if they differ by more than some tolerance",
            ),
            (
                "quantifier changed",
                "none of these three numbers comes to an end",
                "only one of these three numbers comes to an end",
            ),
            (
                "negated",
                "How do I compare two results? Not with equals.",
                "How do I compare two results? With equals.",
            ),
            (
                "number swapped",
                "of which the sign takes one, the exponent 11 and the fraction 52",
                "of which the sign takes 11, the exponent one and the fraction 52",
            ),
            ("invented", "Are integers safe?", "Rounding can be switched off. Are integers safe?"),
        ),
        rewordings=(
            ("synonyms", "it is better to begin", "it is better to start"),
            ("number words", "one sign bit, 11 bits", "1 sign bit, 11 bits"),
        ),
    ),
)
