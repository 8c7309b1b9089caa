package pages

import (
	"image"
	"image/png"
	"strings"
	"testing"
)

// TestTunnelPages: somebody who is logged in at an installation elsewhere, with a tunnel.
func TestTunnelPages(t *testing.T) {
	for page, more := range map[string]string{"docs/tunnel.md": "", "docs/troubleshooting.md": "mezu tunnel 8080 --detach --wait"} {
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			play(t, page, world{
				machines: []string{"here", "hosted"},
				names:    names{all: hostedNames(2)},
				before: func(t *testing.T, all map[string]*machine) {
					all["here"].serves(8080, "hello")
					all["here"].serves(5173, "app")
					host(t, all["hosted"], all["here"])
					all["here"].prepare("mezu login --api https://control.example.com:7443; mezu projects create shop; mkdir shop; cd shop; " + more)
				},
			})
		})
	}
}

// TestManifestPage: the file of the page, on this machine.
func TestManifestPage(t *testing.T) {
	t.Parallel()
	play(t, "docs/mezu-yaml.md", world{
		machines: []string{"here"},
		before: func(t *testing.T, all map[string]*machine) {
			all["here"].serves(3000, "hello")
			all["here"].serves(8080, "hello")
			all["here"].write("logo.png", logo(t))
		},
	})
}

// TestTrafficPage: the examples of the page, on this machine.
func TestTrafficPage(t *testing.T) {
	t.Parallel()
	play(t, "docs/traffic.md", world{
		machines: []string{"here"},
		before: func(_ *testing.T, all map[string]*machine) {
			all["here"].write("/srv/recorder.py", recorder)
			all["here"].enter("stay", "recorder", "Serving", "python3", "-u", "/srv/recorder.py")
		},
	})
}

// logo is a picture.
func logo(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	if err := png.Encode(&out, image.NewGray(image.Rect(0, 0, 8, 8))); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// prepare is what somebody does before the page begins.
func (m *machine) prepare(commands string) {
	m.t.Helper()
	if out, err := m.types(commands); err != nil {
		m.t.Fatalf("%s: %v\n%s\n%s", m.name, err, commands, out)
	}
}
