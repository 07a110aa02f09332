"""Compare judges, images and sets of images: panels, pairwise matches and rankings.

    panel           `Panel`: several judges that answer as one
    aggregation     merges the verdicts of a panel's judges into one verdict
    competitors     reads what is to be ranked from a folder or a file of rows
    ranking         `rank`: orders competitors with as few matches as possible
    tournament      chooses the next match and decides when the order is settled
    bradley_terry   fits Bradley-Terry strengths to a table of wins
    terminal        prints a ranking

Imports from below: the facade `judge.judge`, the pipeline (validation, rows), media regions, the terminal
helpers of `judge.explain`, types and errors.
"""
