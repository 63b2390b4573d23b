# Prints a shown block (the first file) as it has to be, given what it shows (the second file). A line … of
# the block stands for lines that are left out. whole=1: all other lines of what is shown are there. whole=0:
# the block is an excerpt, which may begin and end anywhere and has its own indentation. A piece between two …
# that has changed goes from where its first line is now to where its last line is.
FNR == NR { shown[++n] = $0; next }
{ actual[++m] = $0 }
END {
    for (i = 1; i <= n; i = j + 1) {
        for (j = i; j <= n && shown[j] !~ /^ *…$/; j++)
            ;
        if (j > i)
            piece(i, j - 1)
        if (j <= n)
            print shown[j]
    }
}
function plain(line)
{
    if (!whole)
        gsub(/^ +| +$/, "", line)
    return line
}
# The next place of the lines i to j of the block after `at`; 0: none.
function find(i, j,    s, k)
{
    for (s = at + 1; s + j - i <= m; s++) {
        for (k = i; k <= j && plain(shown[k]) == plain(actual[s + k - i]); k++)
            ;
        if (k > j)
            return s
    }
    return 0
}
# The place of a line after `at` that is nearest to `place`.
function nearest(line, place,    s, best)
{
    for (s = at + 1; s <= m; s++)
        if (plain(actual[s]) == plain(line) && (!best || distance(s, place) < distance(best, place)))
            best = s
    return best ? best : at
}
function distance(a, b) { return a < b ? b - a : a - b }
function piece(i, j,    from, to, k)
{
    from = find(i, j)
    to = from + j - i
    if (!from || (whole && (i == 1 && from != 1 || j == n && to != m))) {
        from = whole && i == 1 ? 1 : find(i, i)
        if (!from)
            return
        at = from - 1
        to = whole && j == n ? m : nearest(shown[j], from + j - i)
    }
    for (k = from; k <= to; k++)
        print plain(actual[k]) == plain(shown[i + k - from]) ? shown[i + k - from] : whole ? actual[k] : margin(i) actual[k]
    at = to
}
# The indentation of line i of the block.
function margin(i,    old)
{
    match(shown[i], /^ */)
    return substr(shown[i], 1, RLENGTH)
}
