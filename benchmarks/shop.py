"""Write a generated small shop: few orders a customer, many products, titles that tell something. For experiments.

    python benchmarks/shop.py --out shop
    recdistill study configs/studies/sparse-shop.yaml --set data.path=shop/orders.csv data.items_path=shop/products.csv

Products have a kind and a brand, which their titles name. A customer has a few kinds of interest and keeps to a few
brands; the next product is of a kind that goes with the one before (half of the time), or of one of the customer's own
kinds. Within a kind products are bought by popularity (Zipf) and brand. With the defaults 1,500 customers buy 12,307
products, 8.2 each, at least 3; an item has 4.5 events. Nothing is bought twice by one customer.
"""

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

KIND_NAMES = (
    "Cordless Drill,Impact Driver,Jigsaw,Circular Saw,Angle Grinder,Orbital Sander,Hammer,Screwdriver Set,Socket Set,"
    "Drill Bits,Saw Blade,Sanding Discs,Cutting Discs,Wood Screws,Wall Plugs,Wood Glue,Spirit Level,Tape Measure,"
    "Workbench,Tool Box,Paint Roller,Paint Brush,Wall Paint,Wood Stain,Masking Tape,Dust Sheet,Filler,Primer,"
    "Garden Hose,Hose Reel,Sprinkler,Lawn Mower,Hedge Trimmer,Pruning Shears,Wheelbarrow,Garden Spade,Rake,"
    "Plant Pot,Potting Soil,Lawn Seed,Fertiliser,Tomato Seeds,Raised Bed,Garden Bench,Parasol,Charcoal Grill,"
    "Grill Tongs,Charcoal,LED Bulb,Table Lamp,Ceiling Lamp,Extension Lead,Dimmer Switch,Light Switch,Cable Ties,"
    "Smoke Alarm,Door Lock,Door Handle,Cabinet Hinge,Drawer Slide,Shelf Bracket,Shelf Board,Tap,Shower Head,"
    "Sink Trap,Pipe Clamp,Sealant,Floor Tiles,Tile Adhesive,Grout,Laminate Flooring,Underlay,Safety Goggles,"
    "Work Gloves,Ear Defenders,Knee Pads"
)
BRAND_NAMES = (
    "Aldor,Bexley,Corvan,Dunmore,Elstow,Fentech,Garlund,Holmfast,Ivarson,Jupitor,Kestrel,Lomax,Marlow,Nordik,Orbex,"
    "Petrova,Quillon,Rastal,Severn,Tarvos,Ulmar,Vantec,Wexham,Xylon,Yarrow,Zenit"
)
KINDS, BRANDS = KIND_NAMES.split(","), BRAND_NAMES.split(",")
WORDS = ("Pro", "Compact", "Heavy Duty", "Classic", "Eco", "Premium", "Basic", "Mini", "XL", "Comfort")


def products(count: int, generator: np.random.Generator) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Titles, kinds and brands of `count` products; kinds are used about equally, a kind has some ten brands."""
    kinds = np.sort(np.arange(count) % len(KINDS))
    of_kind = [generator.choice(len(BRANDS), 10, replace=False) for _ in KINDS]
    brands = np.array([generator.choice(of_kind[kind]) for kind in kinds])
    titles = [
        f"{BRANDS[brand]} {KINDS[kind]} {WORDS[generator.integers(len(WORDS))]} {generator.integers(10, 1000)}"
        for kind, brand in zip(kinds, brands, strict=True)
    ]
    return titles, kinds, brands


def lengths(customers: int, orders: int, generator: np.random.Generator) -> np.ndarray:
    """Products bought by each customer: at least 3, geometric beyond, `orders` in all."""
    rest = generator.geometric(1 / (orders / customers - 2), customers) - 1
    lengths = rest + 3
    while (gap := orders - int(lengths.sum())) != 0:
        who = generator.integers(0, customers, abs(gap))
        np.add.at(lengths, who, np.sign(gap))
        lengths = np.maximum(lengths, 3)
    return lengths


def histories(
    sizes: np.ndarray, kinds: np.ndarray, brands: np.ndarray, generator: np.random.Generator
) -> Iterator[list[int]]:
    """What each customer buys, in order."""
    popularity = generator.permutation(1 / np.arange(1, len(kinds) + 1) ** 0.8)
    goes_with = [generator.choice(len(KINDS), 3, replace=False) for _ in KINDS]
    members = [np.flatnonzero(kinds == kind) for kind in range(len(KINDS))]
    for size in sizes:
        own_kinds = generator.choice(len(KINDS), 4, replace=False)
        liked = np.where(np.isin(brands, generator.choice(len(BRANDS), 5, replace=False)), 4.0, 1.0)
        history: list[int] = []
        while len(history) < size:
            follow = bool(history) and generator.random() < 0.5
            kind = generator.choice(goes_with[kinds[history[-1]]] if follow else own_kinds)
            weights = popularity[members[kind]] * liked[members[kind]]
            item = int(generator.choice(members[kind], p=weights / weights.sum()))
            if item not in history:
                history.append(item)
        yield history


def main() -> None:
    """Read the arguments and write two files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for orders.csv and products.csv")
    parser.add_argument("--customers", type=int, default=1500)
    parser.add_argument("--products", type=int, default=2715)
    parser.add_argument("--orders", type=int, default=12307)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    generator = np.random.default_rng(args.seed)
    titles, kinds, brands = products(args.products, generator)
    sizes = lengths(args.customers, args.orders, generator)
    args.out.mkdir(parents=True, exist_ok=True)
    with (args.out / "products.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["item_id", "title"])
        rows.writerows([f"SKU-{item:05d}", title] for item, title in enumerate(titles, start=1))
    with (args.out / "orders.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["user_id", "item_id", "timestamp"])
        for customer, history in enumerate(histories(sizes, kinds, brands, generator), start=1):
            start = int(generator.integers(0, 300))
            days = start + np.cumsum(generator.integers(1, 30, len(history)))
            rows.writerows(
                [f"C{customer:05d}", f"SKU-{item + 1:05d}", int(day)] for item, day in zip(history, days, strict=True)
            )


if __name__ == "__main__":
    main()
