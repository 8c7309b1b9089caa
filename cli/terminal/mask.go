package terminal

import (
	"fmt"
	"strings"
)

// Mask is called before a secret is shown, by every command that shows one. Where a
// log of GitHub Actions is written, it has the log hide the secret, and all parts of it that
// stand on a line of their own.
func (s Streams) Mask(secrets ...string) {
	if !s.Masking {
		return
	}
	for _, secret := range secrets {
		for line := range strings.Lines(secret) {
			if line = strings.Trim(line, "\r\n"); line != "" {
				fmt.Fprintf(s.Err, "::add-mask::%s\n", strings.ReplaceAll(line, "%", "%25"))
			}
		}
	}
}
