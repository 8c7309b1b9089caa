package account

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/identity/password"
)

// Credential is how an account proves who it is, and what else is known of its logins.
type Credential struct {
	// Password is nil of an account that has none yet.
	Password  *password.Hash `json:"password,omitempty"`
	ChangedAt time.Time      `json:"changed_at,omitzero"`
	// Since is from when on sessions are good: those that were begun before have ended.
	Since time.Time `json:"since,omitzero"`
	// Terms is the version that was accepted, at TermsAt.
	Terms   string    `json:"terms,omitempty"`
	TermsAt time.Time `json:"terms_at,omitzero"`
	// Devices are those that this account has logged in from, the last one first.
	Devices []Device `json:"devices,omitempty"`
	// Mailed are the hashes of the two tokens that were mailed last, by their kind. An
	// earlier one is worth nothing any more.
	Mailed map[MailedKind][2]string `json:"mailed,omitempty"`
}

// Device is a browser from which an account has logged in. It shows a secret of its own, and
// so wrong attempts of others don't keep it out.
type Device struct {
	Hash string    `json:"hash"` // of the secret in its cookie
	Seen time.Time `json:"seen"`
	// Attempts are wrong ones of this device in a row.
	Attempts count `json:"attempts,omitzero"`
}

const (
	// maxDevices is how many devices of an account are known: the last ones.
	maxDevices = 10
	// DeviceLife is how long a device is known without a login.
	DeviceLife = 180 * 24 * time.Hour
)

// Key is where the credential of an account lies.
func (a *Accounts) Key(of Ref) string { return keyCredential(of) }

// Credential reads an account's credential; revision 0 if it has none.
func (a *Accounts) Credential(ctx context.Context, of Ref) (record.Record[Credential], error) {
	return record.Optional[Credential](ctx, a.records, keyCredential(of))
}

// SetPassword sets a new password. All sessions and mailed tokens that there are end.
func (c *Credential) SetPassword(hash password.Hash, now time.Time) {
	c.Password, c.ChangedAt = &hash, now
	c.EndAll(now)
}

// EndAll ends all sessions and mailed tokens that there are. Their records are void from now
// on, and go when they would have ended anyway.
func (c *Credential) EndAll(now time.Time) {
	c.EndSessions(now)
	c.Mailed = nil
}

// EndSessions is EndAll of sessions only. It ends those too that began by the clock of another
// control plane, which may be ahead.
func (c *Credential) EndSessions(now time.Time) {
	c.Since = record.Latest(now, c.Since)
	for _, d := range c.Devices { // in the order in which they came, which that of clocks is not
		c.Since = record.Latest(c.Since, d.Seen.Add(time.Millisecond))
	}
}

// Begins is when a session begins that begins now: not before those that have ended.
func (c *Credential) Begins(now time.Time) time.Time { return record.Latest(now, c.Since) }

// EndAll plans the end of all sessions and mailed tokens of an account, if it has any.
func (a *Accounts) EndAll(ctx context.Context, ch *record.Change, of Ref) error {
	c, err := a.Credential(ctx, of)
	if err != nil || c.Revision == 0 {
		return err
	}
	c.Value.EndAll(a.records.Stamp())
	ch.Update(c.Key, c.Revision, c.Value)
	return nil
}

// Drop plans the end of an account's credential, and with it of its sessions.
func (a *Accounts) Drop(ch *record.Change, of Ref) { ch.Drop(keyCredential(of)) }

// Put plans a credential as it was changed.
func (a *Accounts) Put(ch *record.Change, was record.Record[Credential], is Credential) {
	ch.Update(was.Key, was.Revision, is)
}

// Clone is a credential that can be changed apart.
func (c Credential) Clone() Credential {
	c.Devices, c.Mailed = slices.Clone(c.Devices), maps.Clone(c.Mailed)
	return c
}

// device finds the device of a secret, -1 if it is not known.
func (c *Credential) device(secret string, now time.Time) int {
	if secret == "" {
		return -1
	}
	hash := mezu.HashSecret(secret)
	return slices.IndexFunc(c.Devices, func(d Device) bool { return d.Hash == hash && now.Sub(d.Seen) < DeviceLife })
}

// Knows reports whether a device is known.
func (c *Credential) Knows(device string, now time.Time) bool { return c.device(device, now) >= 0 }

// Meet notes that a device has logged in now, and forgets those that are too many. was is
// the secret that it showed, is the one that it shows from now on.
func (c *Credential) Meet(was, is string, now time.Time) {
	if i := c.device(was, now); i >= 0 {
		c.Devices = slices.Delete(slices.Clone(c.Devices), i, i+1)
	}
	c.Devices = append([]Device{{Hash: mezu.HashSecret(is), Seen: now}}, c.Devices...)
	c.Devices = c.Devices[:min(len(c.Devices), maxDevices)]
}
