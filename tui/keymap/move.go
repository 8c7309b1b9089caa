package keymap

// Moves in a list or text.
const (
	Up       Action = "move-up"
	Down     Action = "move-down"
	PageUp   Action = "move-page-up"
	PageDown Action = "move-page-down"
	First    Action = "move-first"
	Last     Action = "move-last"
)

// Moves are the keys of these moves. They are the same everywhere, and stand in the help of
// everywhere.
func Moves() Map {
	return Map{
		{Keys: []string{"up", "k"}, Action: Up},
		{Keys: []string{"down", "j"}, Action: Down},
		{Keys: []string{"pgup", "ctrl+b"}, Action: PageUp},
		{Keys: []string{"pgdown", "ctrl+f"}, Action: PageDown},
		{Keys: []string{"home", "g"}, Action: First},
		{Keys: []string{"end", "G"}, Action: Last},
	}
}

// Move is the index to which a move leads from at, among n with page of them shown, and whether
// it is a move.
func Move(a Action, at, n, page int) (int, bool) {
	switch a {
	case Up:
		at--
	case Down:
		at++
	case PageUp:
		at -= max(page, 1)
	case PageDown:
		at += max(page, 1)
	case First:
		at = 0
	case Last:
		at = n - 1
	default:
		return at, false
	}
	return max(min(at, n-1), 0), true
}

// Scroll is the first of page rows that are shown so that the one at the cursor is among them, if
// top was it before.
func Scroll(top, at, n, page int) int {
	if page <= 0 {
		return at
	}
	top = min(top, max(n-page, 0))
	return max(min(top, at), at-page+1, 0)
}
