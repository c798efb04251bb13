"""The models of the mixed ladder. Read by every interpreter, so it imports nothing of ours."""

FORMULAS = {
    "a": "Reaction ~ Days + (Days | Subject)",
    "b": "y ~ time + satisf + meet + housing + (time | id)",
    "c": "y ~ time + satisf + meet + housing + age + sex + (time | id) + (time | site)",
    "d": "y ~ time + satisf + meet + housing + age + sex + (time | id)",
    "d2": "y ~ time + satisf + meet + housing + age + sex + (time | id)",
    "e": "y ~ service + studage + lectage + (1 | s) + (1 | d) + (1 | ds)",
    "logit": "y ~ time + satisf + meet + housing + age + sex + (1 | id)",
}
FACTORS = {"e": ("service", "studage", "lectage", "s", "d", "ds")}
REPEATS = {"a": 40, "b": 30, "c": 8, "d": 4, "d2": 4, "e": 3, "logit": 4}
