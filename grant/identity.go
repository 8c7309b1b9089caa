package grant

import "github.com/mezusphere/mezu"

// Field is a header field of a request to a workload.
type Field struct{ Name, Value []byte }

// names are the fields that say who the user is.
var names = [...][]byte{[]byte(mezu.HeaderUserID), []byte(mezu.HeaderUserEmail), []byte(mezu.HeaderUserName), []byte(mezu.HeaderUserRoles)}

// Identity is what a grant says of its user, as header fields: UTF-8, percent-encoded outside
// of visible ASCII and where it is a percent sign or a comma, the roles with commas between
// them. What has no value has no field. They are made at the first call, and are read only.
func (v *Verified) Identity() []Field {
	if known := v.identity.Load(); known != nil {
		return *known
	}
	var roles []byte
	for i, r := range v.Roles {
		if i > 0 {
			roles = append(roles, ',')
		}
		roles = appendEncoded(roles, r)
	}
	fields := make([]Field, 0, len(names))
	for i, value := range [...][]byte{appendEncoded(nil, v.User), appendEncoded(nil, v.Email), appendEncoded(nil, v.Name), roles} {
		if len(value) > 0 {
			fields = append(fields, Field{names[i], value})
		}
	}
	v.identity.Store(&fields)
	return fields
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
