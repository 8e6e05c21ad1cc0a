"""The texts of the sandbox: a support pipeline's prompts, what customers write, and what the shop's documents say."""

from typing import NamedTuple

LABELS = ["shipping", "returns", "billing", "account", "other"]


class Prompt(NamedTuple):
    """The prompt of one step with its versions, oldest first."""

    created: tuple[str, ...]
    active: int  # index of the active version; a later one is a draft that no trace has used
    right: tuple[float, ...]  # share of right outputs of each version in use
    schema: dict[str, object]
    lines: tuple[tuple[str, str], ...]  # the versions that have the line, and the line

    def content(self, version: int) -> str:
        """Text of the version with this index."""
        return "".join(f"{line}\n" for versions, line in self.lines if str(version + 1) in versions)

    def version_at(self, timestamp: str) -> int:
        """Index of the version in use at a timestamp; timestamps of one format sort like the moments they name."""
        return max(version for version in range(self.active + 1) if version == 0 or self.created[version] <= timestamp)


PROMPTS = {
    "classify": Prompt(
        created=("2026-03-02T09:15:00.000Z", "2026-03-23T14:40:00.000Z", "2026-04-13T08:05:00.000Z"),
        active=2,
        right=(0.5, 0.75, 0.92),
        schema={
            "type": "object",
            "properties": {"label": {"type": "string", "enum": LABELS}, "confidence": {"type": "number"}},
            "required": ["label", "confidence"],
        },
        lines=(
            ("1", "You sort customer messages."),
            ("23", "You sort the messages that customers send to an online shop."),
            ("123", ""),
            ("123", "Answer with one of these labels:"),
            ("123", "- shipping: where an order is, when it comes, what sending it costs"),
            ("12", "- returns: sending something back"),
            ("3", "- returns: sending something back, exchanging it, something that arrived broken"),
            ("123", "- billing: invoices, payments, discounts"),
            ("123", "- account: signing in, addresses, deleting data"),
            ("123", "- other: everything else"),
            ("123", ""),
            ("3", "If two labels fit, take the one of the team that has to act first."),
            ("1", "Reply with the label."),
            ("23", "Reply with JSON: the label, and how sure you are from 0 to 1."),
        ),
    ),
    "answer": Prompt(
        created=("2026-03-02T09:20:00.000Z", "2026-03-30T10:00:00.000Z", "2026-04-16T16:30:00.000Z"),
        active=2,
        right=(0.45, 0.65, 0.85),
        schema={"type": "string"},
        lines=(
            ("123", "You answer customers of an online shop, in the language they write in."),
            ("123", ""),
            ("1", "Use the documents below. Be polite."),
            ("23", "Use only the documents below. If they do not say it, say that a colleague writes back today."),
            ("23", "Start with the answer, then say what happens next. No more than three sentences."),
            ("3", "Copy dates, amounts and order numbers exactly."),
            ("12", "Do not promise refunds."),
            ("3", "Never promise a refund or a date that the documents do not give."),
            ("123", ""),
            ("123", "Documents: {documents}"),
            ("123", "Message: {message}"),
        ),
    ),
    "tone": Prompt(
        created=("2026-03-03T11:00:00.000Z", "2026-04-06T09:00:00.000Z", "2026-04-28T15:45:00.000Z"),
        active=1,
        right=(0.7, 0.9),
        schema={"type": "object", "properties": {"tone": {"type": "string"}, "send": {"type": "boolean"}}},
        lines=(
            ("123", "Read the answer as the customer will."),
            ("1", "Say whether it is friendly."),
            ("23", "Say whether it is friendly or curt, and whether it can be sent without a human reading it."),
            ("3", "An apology alone is not an answer: call it curt."),
        ),
    ),
}


class Case(NamedTuple):
    """One kind of customer message with the right outputs, and an answer that is wrong; `{order}` is filled in."""

    text: str
    label: str
    documents: list[str]
    answer: str
    poor_answer: str


CASES = (
    Case(
        "Where is my order {order}? It should have been here on Monday.",
        "shipping",
        ["Delivery times"],
        "Order {order} left our warehouse yesterday and takes two working days. Your mail has a link to follow it.",
        "Your order {order} is on its way. Thank you for your patience!",
    ),
    Case(
        "The shoes from {order} are too small. Can I swap them for a 43?",
        "returns",
        ["Returns policy", "Delivery times"],
        "Yes, unworn shoes can be exchanged within 30 days. Choose size 43 under My orders; the label comes by mail.",
        "You can send back {order} and place a new order.",
    ),
    Case(
        "I was charged TWICE for {order} 😕",
        "billing",
        ["Payments"],
        "Order {order} was charged once. The second entry is a reservation; it goes away within three working days.",
        "We are sorry and will refund the second payment today.",
    ),
    Case(
        "My parcel {order} arrived with the lamp in two pieces. Photo attached.\n\nWhat now?",
        "returns",
        ["Returns policy"],
        "We send a new lamp at once, and you need not send back the broken one. The photo is all we need.",
        "Please send {order} back to us at your own cost.",
    ),
    Case(
        "Könnt ihr mir die Rechnung zu {order} noch einmal schicken?",
        "billing",
        ["Payments"],
        "Die Rechnung zu {order} liegt unter „Meine Bestellungen“; wir haben sie gerade noch einmal geschickt.",
        "Your invoice was sent with the order.",
    ),
    Case(
        "Is the oak table waxed or oiled?",
        "other",
        [],
        "Our documents do not say. A colleague asks the workshop and writes back today.",
        "The oak table is oiled.",
    ),
)

DOCS = {
    "Delivery times": (
        "Orders leave our warehouse within one working day.",
        "Orders leave our warehouse within one working day and take two more.",
    ),
    "Returns policy": (
        "Items can be returned within 14 days.",
        "Unworn items can be returned or exchanged within 30 days. Broken on arrival: replaced, nothing to send back.",
    ),
    "Payments": ("A reservation goes away within three working days. Invoices are under My orders.",),
    "Opening hours": ("The shop in town is open from 10 to 19, except on Sundays.",),
}
DOC_DATES = ("2026-02-24T08:00:00.000Z", "2026-03-24T08:00:00.000Z")

COMMENTS = {
    "handle": ("Fix the steps below and this is fine.",),
    "classify": ("Wrong team: they would have to pass it on.", "Sort by who has to act, not by the words."),
    "retrieve": ("Opening hours have nothing to do with this question.",),
    "answer": ("Says nothing about what happens next.", "We cannot promise that.", "Answer first, be sorry later."),
    "tone": ("I read this differently.", "The customer would not see it that way."),
}
