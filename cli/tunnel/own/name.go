package own

import (
	"cmp"
	"context"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cli/tunnel/memory"
)

// Prefixes of the names of own environments.
const (
	prefixPerson  = "dev-"
	prefixAccount = "ci-"
)

// Base is the name of the caller's own environment, and the beginning of those of named
// tunnels. At first it is made of who calls, shown and changeable; then it is remembered.
func (o *Owner) Base(ctx context.Context) (string, error) {
	o.naming.Lock()
	defer o.naming.Unlock()
	if o.base != "" {
		return o.base, nil
	}
	self, err := o.Self(ctx)
	if err != nil {
		return "", err
	}
	base := Propose(self, o.inv.Getenv)
	if self.Kind == kindAccount {
		o.base = base
		return base, nil // an account always has the same name, and no memory on a fresh machine
	}
	who := o.settings.API + " " + o.settings.Organization + " " + self.ID
	if known := o.kept.Load().Names[who]; mezu.ValidateName("", known) == nil {
		o.base = known
		return known, nil
	}
	if o.inv.CanPrompt() {
		answer, err := o.inv.Ask(ctx, "Your own environments here are called "+base+" and "+base+"-NAME. Enter keeps that, or type another name:")
		if err != nil {
			return "", err
		}
		if answer != "" {
			if err := mezu.ValidateName("environment", answer); err != nil {
				return "", err
			}
			base = answer
		}
	}
	o.base = base
	if err := o.kept.Update(ctx, func(m *memory.Memory) { m.Names[who] = base }); err != nil {
		o.inv.Warnf("%s", terminal.Clean(err.Error()))
	}
	return base, nil
}

// kindAccount is api.Self.Kind of a service account.
const kindAccount = "service_account"

// Propose is the name of the environment of whoever calls: after the mail, or else after the user
// of this machine.
func Propose(self api.Self, getenv func(string) string) string {
	if self.Kind == kindAccount {
		return prefixAccount + clean(cmp.Or(self.Name, self.ID), "account")
	}
	local, _, _ := strings.Cut(self.Email, "@")
	local, _, _ = strings.Cut(local, "+")
	user := cmp.Or(getenv("USER"), getenv("LOGNAME"), getenv("USERNAME"))
	return prefixPerson + clean(local, clean(user, clean(last(self.ID), "me")))
}

// last are the last characters of an id, for a person without a mail on a machine that names no
// user.
func last(id string) string { return id[max(0, len(id)-6):] }

// clean makes a part of a name.
func clean(text, fallback string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(text) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			b.WriteRune(r)
		} else if b.Len() > 0 && !strings.HasSuffix(b.String(), "-") {
			b.WriteByte('-')
		}
	}
	name := b.String()
	name = strings.Trim(name[:min(len(name), maxOwner)], "-")
	if mezu.ValidateName("", name) != nil {
		return fallback
	}
	return name
}
