"""Small Python functions with a description and inputs. `repairs.py` breaks them.

`K` stands for a number from 2 to 9. The number of iterations of a loop never depends on what the loop computes, so every mutant
ends.
"""

from typing import NamedTuple


class Function(NamedTuple):
    """A function of one argument."""

    description: str
    source: str
    argument: str
    """Kind of the argument: numbers, number, text, or pairs."""


FUNCTIONS = {
    "count_multiples": Function(
        "the number of multiples of K in a list",
        "    count = 0\n    for number in numbers:\n        if number % K == 0:\n            count += 1\n    return count",
        "numbers",
    ),
    "sum_above": Function(
        "the sum of the numbers of a list that are greater than K",
        "    total = 0\n    for number in numbers:\n        if number > K:\n            total += number\n    return total",
        "numbers",
    ),
    "clip": Function(
        "the list with every number above K replaced by K and every number below -K replaced by -K",
        "    return [min(max(number, -K), K) for number in numbers]",
        "numbers",
    ),
    "longest_rise": Function(
        "the length of the longest run of adjacent numbers in which each is greater than the one before (0 for an empty list)",
        "    longest = length = 0\n    for index in range(len(numbers)):\n"
        "        if index > 0 and numbers[index] > numbers[index - 1]:\n            length += 1\n        else:\n"
        "            length = 1\n        longest = max(longest, length)\n    return longest",
        "numbers",
    ),
    "running_sums": Function(
        "the list of sums of the first 1, 2, 3, ... numbers of a list",
        "    sums = []\n    total = 0\n    for number in numbers:\n        total += number\n        sums.append(total)\n"
        "    return sums",
        "numbers",
    ),
    "every_kth": Function(
        "the list of every K-th number of a list, that is those with the indices K - 1, 2 * K - 1, ...",
        "    return [numbers[index] for index in range(len(numbers)) if index % K == K - 1]",
        "numbers",
    ),
    "second_largest": Function(
        "the second largest of the different numbers of a list, or None if there are fewer than two",
        "    different = sorted(set(numbers))\n    if len(different) < 2:\n        return None\n    return different[-2]",
        "numbers",
    ),
    "pairs_with_sum": Function(
        "the number of pairs of places i < j in a list whose numbers have the sum K",
        "    count = 0\n    for first in range(len(numbers)):\n        for second in range(first + 1, len(numbers)):\n"
        "            if numbers[first] + numbers[second] == K:\n                count += 1\n    return count",
        "numbers",
    ),
    "largest_drop": Function(
        "the largest difference between a number of a list and a later one (0 if no later number is smaller)",
        "    drop = 0\n    for first in range(len(numbers)):\n        for second in range(first + 1, len(numbers)):\n"
        "            drop = max(drop, numbers[first] - numbers[second])\n    return drop",
        "numbers",
    ),
    "rotate": Function(
        "the list with its first K numbers moved to the end, where counting goes on at the start if the list is shorter",
        "    if not numbers:\n        return []\n    shift = K % len(numbers)\n    return numbers[shift:] + numbers[:shift]",
        "numbers",
    ),
    "digit_sum": Function(
        "the sum of the decimal digits of a number, plus K for each digit that is 0",
        "    total = 0\n    for digit in str(number):\n        if digit == '0':\n            total += K\n"
        "        total += int(digit)\n    return total",
        "number",
    ),
    "divisors": Function(
        "the list of the divisors of a number from 1 to the number itself (empty for 0)",
        "    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]",
        "number",
    ),
    "triangle": Function(
        "the sum of the numbers from 1 to a number, without the multiples of K",
        "    total = 0\n    for part in range(1, number + 1):\n        if part % K != 0:\n            total += part\n"
        "    return total",
        "number",
    ),
    "fee": Function(
        "K for a number of days up to 3, and 2 more for each further day, but at most 20 + K",
        "    if number <= 3:\n        return K\n    return min(K + 2 * (number - 3), 20 + K)",
        "number",
    ),
    "long_words": Function(
        "the number of words of a text that have at least K letters",
        "    count = 0\n    for word in text.split():\n        if len(word) >= K:\n            count += 1\n    return count",
        "text",
    ),
    "capital_words": Function(
        "the text with every second word, from the second on, in capital letters",
        "    words = text.split()\n    for index in range(1, len(words), 2):\n        words[index] = words[index].upper()\n"
        "    return ' '.join(words)",
        "text",
    ),
    "letter_runs": Function(
        "the number of places in a text where two adjacent letters are equal",
        "    count = 0\n    for index in range(1, len(text)):\n        if text[index] == text[index - 1] and text[index] != ' '"
        ":\n            count += 1\n    return count",
        "text",
    ),
    "initials": Function(
        "the first letters of the words of a text that have more than 4 letters, joined to one word",
        "    return ''.join(word[0] for word in text.split() if len(word) > 4)",
        "text",
    ),
    "shared": Function(
        "the sum of the products of the two numbers of each pair, leaving out pairs with a product above 10 * K",
        "    total = 0\n    for first, second in pairs:\n        product = first * second\n        if product <= 10 * K:\n"
        "            total += product\n    return total",
        "pairs",
    ),
    "wins": Function(
        "3 points for each pair whose first number is greater than its second, and 1 point for each pair of equal numbers",
        "    points = 0\n    for first, second in pairs:\n        if first > second:\n            points += 3\n"
        "        elif first == second:\n            points += 1\n    return points",
        "pairs",
    ),
}
"""The functions by name. Our choice."""
