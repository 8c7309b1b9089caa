package pages

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/mezusphere/mezu"
)

// form begins a form that returns to where the visit leads.
func (v View) form(path string, fields ...field) form {
	f := form{Action: v.action(path), Fields: fields}
	if v.returns() {
		f.Hidden = append(f.Hidden, hidden{FieldTo, v.To})
	}
	return f
}

func (f form) hide(name, value string) form {
	if value != "" {
		f.Hidden = append(f.Hidden, hidden{name, value})
	}
	return f
}

func (f form) button(label text) form {
	f.Buttons = append(f.Buttons, button{Label: label})
	return f
}

func (v View) emailField(value string) field {
	return field{Name: FieldEmail, Type: "email", Label: v.say(msgEmail), Value: value, Autocomplete: "username", MaxLength: emailLength}
}

// userField tells a password manager whose password the form is about. It has no name, so
// that it isn't sent.
func (v View) userField(email string) field {
	f := v.emailField(email)
	f.Name, f.ReadOnly = "", true
	return f
}

func (v View) passwordField(label message, name, autocomplete string) field {
	return field{Name: name, Type: "password", Label: v.say(label), Autocomplete: autocomplete, MaxLength: passwordLength, Reveal: &reveal{Spoken: v.say(msgShowPassword).String(), Text: v.say(msgShow).String()}}
}

func (v View) newPasswordField(label message, least int) field {
	f := v.passwordField(label, FieldPassword, "new-password")
	if least == 0 {
		least = mezu.MinPasswordLength
	}
	f.Hint = v.say(msgPasswordHint, number("n", least))
	return f
}

// Profile is what a directory asks of its users beside the address.
type Profile struct {
	Name, DisplayName string
	// AskName and AskDisplayName show a field.
	AskName, AskDisplayName bool
}

func (v View) profileFields(p Profile) []field {
	var out []field
	if p.AskName {
		out = append(out, field{Name: FieldName, Type: "text", Label: v.say(msgName), Value: p.Name, Autocomplete: "name", MaxLength: nameLength, Auto: true})
	}
	if p.AskDisplayName {
		out = append(out, field{Name: FieldDisplayName, Type: "text", Label: v.say(msgDisplayName), Value: p.DisplayName, Autocomplete: "nickname", MaxLength: nameLength, Auto: true, Hint: v.say(msgDisplayNameHint)})
	}
	return out
}

// Terms are what users accept, once for each version. The zero value is none.
type Terms struct{ URL, Version string }

func (v View) termsField(t Terms) []field {
	if t == (Terms{}) {
		return nil
	}
	site := arg{"terms", part{Text: v.say(msgTerms).String(), Href: t.URL, NewTab: v.say(msgNewTab).String()}}
	return []field{{Name: FieldTerms, Value: t.Version, Check: true, Label: v.say(msgTermsCheck, site)}}
}

// tokenField takes the token of a link: the script puts it there and hides the field.
// Without a script people type or paste the code that stands in the mail.
func (v View) tokenField() field {
	return field{Name: FieldToken, Type: "text", Label: v.say(msgMailCode), Autocomplete: "one-time-code", MaxLength: tokenLength, Hint: v.say(msgMailCodeHint)}
}

// with puts problems where they belong: beside the field that they are about, else above
// the form.
func (v View) with(f form, problems []Problem) form {
	for _, p := range problems {
		words := v.problem(p)
		if d := f.about(p); d != nil {
			d.Error = words
			continue
		}
		if len(f.Alert) > 0 {
			f.Alert = append(f.Alert, part{Text: " "})
		}
		f.Alert = append(f.Alert, words...)
		if p.Code == WrongLogin { // either of the two may be
			for i := range f.Fields {
				f.Fields[i].Invalid = true
			}
		}
	}
	return f
}

// about is the field that a problem is about, unless another one is already.
func (f *form) about(p Problem) *field {
	for _, name := range p.fields() {
		for i := range f.Fields {
			if d := &f.Fields[i]; d.Name == name && len(d.Error) == 0 {
				return d
			}
		}
	}
	return nil
}

// status is that of a page that shows a form again.
func status(problems []Problem) int {
	if len(problems) > 0 {
		return http.StatusUnprocessableEntity
	}
	return http.StatusOK
}

// faulty reports whether a form shows a problem.
func faulty(sections []section) bool {
	for _, s := range sections {
		for _, f := range s.Forms {
			if len(f.Alert) > 0 {
				return true
			}
			for _, d := range f.Fields {
				if len(d.Error) > 0 {
					return true
				}
			}
			for _, m := range f.More {
				if len(m.Alert) > 0 {
					return true
				}
			}
		}
	}
	return false
}

// takesToken reports whether a form takes the token of the page's fragment.
func takesToken(sections []section) bool {
	return len(sections) == 1 && len(sections[0].Forms) == 1 && sections[0].Forms[0].Token
}

// finish gives ids, and binds hints and errors to their fields.
func (s *section) finish(n int) {
	s.ID = "s" + strconv.Itoa(n)
	for i := range s.Forms {
		f := &s.Forms[i]
		f.ID = s.ID + "f" + strconv.Itoa(i)
		for j := range f.Fields {
			f.Fields[j].finish(f)
		}
	}
}

func (d *field) finish(f *form) {
	d.ID = f.ID + "-" + d.Name
	if d.Name == "" {
		d.ID = f.ID + "-user"
	}
	var by []string
	if d.Invalid && len(f.Alert) > 0 {
		by = append(by, f.ID+"-alert")
	}
	if len(d.Error) > 0 {
		d.Invalid = true
		by = append(by, d.ID+"-error")
	}
	if len(d.Hint) > 0 {
		by = append(by, d.ID+"-hint")
	}
	d.Described = strings.Join(by, " ")
}

// focus chooses where typing begins: at the first error, else at the first empty field of
// a page with one form. A page with several is read first.
func focus(sections []section) {
	var empty, wrong *field
	for i := range sections {
		for j := range sections[i].Forms {
			fields := sections[i].Forms[j].Fields
			for k := range fields {
				d := &fields[k]
				switch {
				case d.ReadOnly:
				case wrong == nil && (len(d.Error) > 0 || d.Invalid && d.Value == ""):
					wrong = d
				case empty == nil && len(sections) == 1 && d.Value == "" && !d.Check:
					empty = d
				}
			}
		}
	}
	switch {
	case wrong != nil:
		wrong.Focus = true
	case empty != nil:
		empty.Focus = true
	}
}
