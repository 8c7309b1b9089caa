package mezu

// maxNear is the longest word for which a similar one is looked for: the time for two words
// grows with the product of their lengths.
const maxNear = 64

// Nearest is the candidate that a mistyped word most likely stands for: the one that differs
// in the fewest letters, or "" if all differ in more than a third of theirs.
func Nearest(word string, candidates []string) string {
	if word == "" {
		return ""
	}
	best, least := "", maxNear
	for _, c := range candidates {
		if d := distance(word, c); d < least && d <= max(1, len(c)/3) {
			best, least = c, d
		}
	}
	return best
}

// DidYouMean is the end of a sentence that says what is not there: "; did you mean NAME?", or
// nothing if no candidate is like it.
func DidYouMean(word string, candidates []string) string {
	if found := Nearest(word, candidates); found != "" {
		return "; did you mean " + found + "?"
	}
	return ""
}

// distance is how many letters must be inserted, deleted or replaced, or swapped with the next one,
// to make b from a (Levenshtein's, with swaps of neighbours).
func distance(a, b string) int {
	if len(a) > maxNear || len(b) > maxNear {
		return max(len(a), len(b))
	}
	row, last, before := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, before
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := last[j-1]
			if a[i-1] != b[j-1] {
				cost++
			}
			row[j] = min(cost, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
