"""Common English words from which generators build their problems."""

WORDS = tuple(
    """
    acorn actor agent alarm album anchor angle animal ankle apple apron arrow artist atlas autumn bakery balcony bamboo banana
    banner barrel basket battery beach beacon beard beaver bench berry bicycle biscuit blanket blossom bottle bottom branch
    bread breeze brick bridge broom brother brush bubble bucket builder burden butcher butter button cabin cable cactus camel
    camera candle canoe canvas canyon captain caravan carbon career carpet carrot castle cattle ceiling cellar cement chain
    chair chapel charm cheese cherry chimney circle circus citizen clerk climate clock cloud clover coach coast cobra coffee
    collar colour comet compass copper coral corner cotton couch council cousin cradle crane crayon cricket crown crystal
    cupboard curtain cushion customer dancer danger daughter desert diamond dinner doctor dolphin donkey dragon drawer dream
    dress driver drum eagle earth editor elbow elephant empire engine evening falcon family farmer father feather fence ferry
    fiddle field finger flame flower flute forest fossil fountain friend frost garage garden garlic ghost giant ginger giraffe
    glass glove goose grape grass guitar hammer hamster harbour harvest hazel helmet heron history holiday honey horizon
    hospital hotel hunter island ivory jacket jaguar jewel journey jungle kettle kitchen kitten ladder lantern lawyer leather
    lemon leopard library lizard lobster locket machine magnet mango maple marble market meadow melon memory mirror
    monkey morning mountain museum mushroom music mustard napkin needle nephew nickel noodle oasis ocean office olive onion
    orange orchard otter oyster paddle palace panda paper parcel parrot pastry peach peanut pebble pencil pepper piano picture
    pigeon pillow pirate planet plum pocket poem police pond poppy potato prince puddle pumpkin puppet quarry queen quilt
    rabbit raccoon radio rain raven ribbon river robin rocket saddle sailor salad salmon sandal school scissors secret shadow
    shark sheep shelter shield shower silver singer sister soldier spider spinach spoon spring squirrel stable station stone
    storm street student sugar summer sunset swallow table tailor teacher temple thunder ticket tiger tomato tower tractor
    train treasure trumpet tunnel turnip turtle uncle valley vessel village violin volcano wagon walnut walrus water weather
    whale window winter wizard yogurt zebra
    """.split()
)
"""Nouns of 4 to 8 lowercase letters, in alphabetical order. Our choice."""
