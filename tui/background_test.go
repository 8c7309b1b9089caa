package tui

import (
	"testing"

	"github.com/creack/pty"
)

func TestLightness(t *testing.T) {
	for answer, want := range map[string][2]bool{
		"\x1b]11;rgb:ffff/ffff/ffff\x07\x1b[?1;2c":      {true, true},
		"\x1b]11;rgb:0000/2b2b/3636\x1b\\\x1b[?62;22c":  {false, true}, // Solarized dark
		"\x1b]11;rgb:fd/f6/e3\x07\x1b[?1;2c":            {true, true},  // Solarized light
		"\x1b[?1;2c":                                    {false, false},
		"\x1b]11;rgb:ff/ff\x07\x1b[?1;2c":               {false, false},
		"\x1b]11;rgb:fffff/ffff/ffff\x07\x1b[?1;2c":     {false, false},
		"\x1b]11;rgb:":                                  {false, false},
		"\x1b]11;rgb:gg/gg/gg\x07":                      {false, false},
		"\x1b]11;rgb:8000/8000/8000\x1b\\\x1b[?1;2c":    {true, true},
		"typed ahead\x1b]11;rgb:0/0/0\x07\x1b[?6;1;22c": {false, true},
	} {
		if light, known := lightness([]byte(answer)); light != want[0] || known != want[1] {
			t.Errorf("%q is light %v, known %v", answer, light, known)
		}
	}
}

func TestBackground(t *testing.T) {
	for name, c := range map[string]struct {
		answer       string
		light, known bool
	}{
		"a light one":             {"\x1b]11;rgb:ffff/ffff/ffff\x07\x1b[?1;2c", true, true},
		"one that does not say":   {"\x1b[?1;2c", false, false},
		"one that says nothing":   {"", false, false},
		"one that never finishes": {"\x1b]11;rgb:", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			master, slave, err := pty.Open()
			if err != nil {
				t.Fatal(err)
			}
			defer master.Close()
			defer slave.Close()
			answered := make(chan struct{})
			go func() {
				defer close(answered)
				asked := make([]byte, 64)
				if _, err := master.Read(asked); err == nil {
					master.WriteString(c.answer)
				}
			}()
			if light, known := Background(slave, slave); light != c.light || known != c.known {
				t.Errorf("it is light %v, known %v", light, known)
			}
			<-answered
		})
	}
}
