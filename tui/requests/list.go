package requests

import (
	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/tui/keymap"
)

// list is the cursor in the rows of a log. It follows while its newest row is selected, and else
// stands still: no row moves under the cursor.
type list struct {
	// rows are those that are shown, newest first.
	rows []mezu.Exchange
	// newest are those of the log.
	newest []mezu.Exchange
	at     int
	top    int
	still  bool
	// want is the id of an exchange that is to be selected when it is there.
	want string
}

// selected is the exchange at the cursor.
func (l *list) selected() (mezu.Exchange, bool) {
	if l.at >= len(l.rows) {
		return mezu.Exchange{}, false
	}
	return l.rows[l.at], true
}

// take takes the rows of the log.
func (l *list) take(rows []mezu.Exchange) {
	l.newest = rows
	if l.want != "" {
		for i := range rows {
			if rows[i].ID == l.want {
				l.rows, l.at, l.top, l.want = rows, i, max(0, i-1), ""
				l.still = i > 0
				return
			}
		}
	}
	if !l.still || len(l.rows) == 0 {
		l.rows, l.at, l.top, l.still = rows, 0, 0, false
		return
	}
	now := make(map[string]*mezu.Exchange, len(rows))
	for i := range rows {
		now[rows[i].ID] = &rows[i]
	}
	same := make([]mezu.Exchange, len(l.rows))
	for i := range l.rows {
		same[i] = l.rows[i]
		if e := now[same[i].ID]; e != nil {
			same[i] = *e
		}
	}
	l.rows = same
}

// fresh is how many rows have come since the list stands still.
func (l *list) fresh() int {
	if len(l.rows) == 0 {
		return 0
	}
	n := 0
	for n < len(l.newest) && l.newest[n].Sequence > l.rows[0].Sequence {
		n++
	}
	return n
}

// catchUp shows the rows that there are now, with the same one selected in the same line.
func (l *list) catchUp() {
	e, ok := l.selected()
	line := l.at - l.top
	l.rows = l.newest
	if !ok || len(l.rows) == 0 {
		l.at, l.top, l.still = 0, 0, false
		return
	}
	l.at = len(l.rows) - 1
	for i := range l.rows {
		if l.rows[i].Sequence <= e.Sequence {
			l.at = i
			break
		}
	}
	l.top = max(0, l.at-line)
}

// move moves the cursor, with page rows shown, and reports whether it was a move.
func (l *list) move(a keymap.Action, page int) bool {
	if a == keymap.First || l.at == 0 && (a == keymap.Up || a == keymap.PageUp) {
		l.catchUp()
	}
	at, ok := keymap.Move(a, l.at, len(l.rows), page)
	if !ok {
		return false
	}
	l.put(at, page)
	return true
}

// put puts the cursor at an index.
func (l *list) put(at, page int) {
	l.want = ""
	l.at = max(min(at, len(l.rows)-1), 0)
	l.top = keymap.Scroll(l.top, l.at, len(l.rows), page)
	l.still = l.at > 0 || l.fresh() > 0
}

// scroll moves what is shown, and takes the cursor along at the edge.
func (l *list) scroll(by, page int) {
	l.top = max(min(l.top+by, len(l.rows)-page), 0)
	l.put(max(min(l.at, l.top+page-1), l.top), page)
}
