package grant

import "github.com/mezusphere/mezu"

// Identity is what a grant says of its user, as the fields of a request to a workload have
// it: UTF-8, percent-encoded outside of visible ASCII and where it is a percent sign or a
// comma, the roles with commas between them. It is read only.
type Identity struct{ ID, Email, Name, Roles []byte }

// Identity gives the header fields of the grant, which are made at its first call.
func (v *Verified) Identity() *Identity {
	if i := v.identity.Load(); i != nil {
		return i
	}
	i := &Identity{ID: appendEncoded(nil, v.User), Email: appendEncoded(nil, v.Email), Name: appendEncoded(nil, v.Name)}
	for n, r := range v.Roles {
		if n > 0 {
			i.Roles = append(i.Roles, ',')
		}
		i.Roles = appendEncoded(i.Roles, r)
	}
	v.identity.Store(i)
	return i
}

// Each calls add with each of the fields that has a value, by its name.
func (i *Identity) Each(add func(name string, value []byte)) {
	for _, f := range [...]struct {
		name  string
		value []byte
	}{{mezu.HeaderUserID, i.ID}, {mezu.HeaderUserEmail, i.Email}, {mezu.HeaderUserName, i.Name}, {mezu.HeaderUserRoles, i.Roles}} {
		if len(f.value) > 0 {
			add(f.name, f.value)
		}
	}
}

func appendEncoded(dst []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		if c := s[i]; c > ' ' && c < 0x7f && c != '%' && c != ',' {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		}
	}
	return dst
}
