package mezu_test

import (
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
)

func TestNearest(t *testing.T) {
	names := []string{"production", "staging", "dev-ada", "x"}
	for word, want := range map[string]string{
		"prodction": "production", "stagng": "staging", "dev-adda": "dev-ada", "y": "x", "dve-ada": "dev-ada", "rpodcution": "production",
		"production": "production", "preview": "", "": "", strings.Repeat("a", 1000): "",
	} {
		if got := mezu.Nearest(word, names); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
	if got := mezu.Nearest("a", []string{strings.Repeat("b", 1<<20)}); got != "" {
		t.Error("a name of a megabyte is near")
	}
}
