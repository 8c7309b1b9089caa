package tui

import (
	"strconv"

	"github.com/mezusphere/mezu/tui/keymap"
)

// Actions that work on every screen.
const (
	actScreen  = "screen"
	actQuit    = keymap.Action("quit")
	actPause   = keymap.Action("pause")
	actPalette = keymap.Action("palette")
	actHelp    = keymap.Action("help")
	// actOwn is what each screen, or bubbletea, does by itself. It is here for the help.
	actOwn = keymap.Action("")
)

// everywhere are the keys that work on every screen, in the order of the help.
func everywhere(screens int) keymap.Map {
	var m keymap.Map
	for i := range screens {
		n := strconv.Itoa(i + 1)
		m = append(m, keymap.Binding{Keys: []string{n}, Action: keymap.Action(actScreen + n)})
	}
	return append(m, keymap.Map{
		{Action: actOwn, Show: "1 … " + strconv.Itoa(screens), Help: "screens"},
		{Action: actOwn, Show: "tab", Help: "next panel"},
		{Action: actOwn, Show: "↑↓ jk", Help: "move     g G  first, last"},
		{Action: actOwn, Show: "/", Help: "filter     esc  clear"},
		{Keys: []string{" "}, Action: actPause, Show: "space", Help: "pause what moves", Palette: "Pause what moves"},
		{Keys: []string{":", "ctrl+k"}, Action: actPalette, Help: "go to or do anything", Footer: "go to"},
		{Action: actOwn, Show: "y", Help: "copy the selected value"},
		{Keys: []string{"?"}, Action: actHelp, Help: "this page", Footer: "help", Palette: "Help"},
		{Action: actOwn, Show: "ctrl+z", Help: "to the shell, fg returns"},
		{Action: actOwn, Show: "ctrl+l", Help: "draw anew"},
		{Keys: []string{"q"}, Action: actQuit, Help: "quit; says what ends", Footer: "quit", Palette: "Quit"},
	}...)
}
