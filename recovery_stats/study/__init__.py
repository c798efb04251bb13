"""The workflow: read, bind, check, answer, compose, disclose, render, write; one verb a step.

table     files to Study
binding   options and roles to a Question
workflow  Question to Result to Document to bytes
folder    bytes to files, whole or not at all
drift     files against a new run
notebook  any result to what a notebook shows of it; notebook_page: its tables and figures
"""
