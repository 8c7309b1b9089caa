// Package keymap is the keys of the dashboard. One map handles them, makes the footer and
// makes the page of help, so that these can't differ.
//
// What lives here: bindings and the search among them. What may not: what an action does.
// Packages of tui import it; it imports nothing of ours.
package keymap

import "strings"

// Action is what a key asks for. Each screen has its own, and the dashboard has those that
// work everywhere.
type Action string

// Binding is one or several keys for an action.
type Binding struct {
	// Keys are as bubbletea names them: "enter", "ctrl+k", "R".
	Keys   []string
	Action Action
	// Footer is the word in the last line, empty if it isn't there.
	Footer string
	// Help is the line on the page of help; Show how its keys are written there and in the
	// footer, if not as they are: "↑↓ jk".
	Help string
	Show string
	// Palette is the line in the palette; empty if it isn't there.
	Palette string
}

// Map are bindings, the most useful first.
type Map []Binding

// Find gives the action of a key.
func (m Map) Find(key string) (Action, bool) {
	for _, b := range m {
		for _, k := range b.Keys {
			if k == key {
				return b.Action, true
			}
		}
	}
	return "", false
}

// Label is how the keys of a binding are written.
func (b Binding) Label() string {
	if b.Show != "" {
		return b.Show
	}
	return strings.Join(b.Keys, " ")
}
