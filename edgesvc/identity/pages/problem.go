package pages

// Code names what is wrong with a form.
type Code string

// Codes of problems. That an address is taken is none of them: nobody is told.
const (
	WrongLogin       Code = "wrong_login"    // address or password, with one text
	WrongPassword    Code = "wrong_password" // the current one, or that of the signup
	EmailInvalid     Code = "email_invalid"
	DomainNotAllowed Code = "domain_not_allowed"
	PasswordShort    Code = "too_short" // N is the least number of characters
	PasswordLong     Code = "too_long"  // N is the greatest
	PasswordCommon   Code = "common"
	PasswordRepeated Code = "repeated"
	PasswordRun      Code = "run"
	PasswordContext  Code = "context"
	NameMissing      Code = "name_missing"
	NameInvalid      Code = "name_invalid"
	DisplayMissing   Code = "display_name_missing"
	DisplayInvalid   Code = "display_name_invalid"
	TermsMissing     Code = "terms_missing"
	CodeWrong        Code = "code_wrong" // N is how many guesses are left
	TokenWrong       Code = "token_wrong"
	NotConfirmed     Code = "not_confirmed" // the waiting tab goes on too early
	InvitationWrong  Code = "invitation_wrong"
	FormOld          Code = "form_old" // it can't be taken any more, and comes back
	FormLarge        Code = "form_large"
	FormMalformed    Code = "form_malformed" // a field twice, or one that is none of the form
	FormForeign      Code = "form_foreign"   // sent from another site
)

// Problem is one thing that is wrong with a form.
type Problem struct {
	Code Code
	N    int
}

// fields are those that a problem is about: the first of them that a form has.
func (p Problem) fields() []string {
	switch p.Code {
	case EmailInvalid, DomainNotAllowed:
		return []string{FieldEmail}
	case PasswordShort, PasswordLong, PasswordCommon, PasswordRepeated, PasswordRun, PasswordContext:
		return []string{FieldPassword}
	case WrongPassword:
		return []string{FieldCurrent, FieldPassword}
	case NameMissing, NameInvalid:
		return []string{FieldName}
	case DisplayMissing, DisplayInvalid:
		return []string{FieldDisplayName}
	case TermsMissing:
		return []string{FieldTerms}
	case CodeWrong:
		return []string{FieldCode}
	case TokenWrong:
		return []string{FieldToken}
	default:
		return nil
	}
}

// problem says what is wrong.
func (v View) problem(p Problem) text {
	n := number("n", p.N)
	switch p.Code {
	case WrongLogin:
		return v.say(msgWrongLogin)
	case WrongPassword:
		return v.say(msgWrongPassword)
	case EmailInvalid:
		return v.say(msgEmailInvalid)
	case DomainNotAllowed:
		return v.say(msgDomainNotAllowed)
	case PasswordShort:
		return v.say(msgPasswordShort, n)
	case PasswordLong:
		return v.say(msgPasswordLong, n)
	case PasswordCommon:
		return v.say(msgPasswordCommon)
	case PasswordRepeated:
		return v.say(msgPasswordRepeated)
	case PasswordRun:
		return v.say(msgPasswordRun)
	case PasswordContext:
		return v.say(msgPasswordContext)
	case NameMissing:
		return v.say(msgNameMissing)
	case NameInvalid:
		return v.say(msgNameInvalid)
	case DisplayMissing:
		return v.say(msgDisplayMissing)
	case DisplayInvalid:
		return v.say(msgDisplayInvalid)
	case TermsMissing:
		return v.say(msgTermsMissing)
	case CodeWrong:
		if p.N == 0 {
			return v.say(msgCodeWrongLast)
		}
		return v.say(msgCodeWrong)
	case TokenWrong:
		return v.say(msgTokenWrong)
	case NotConfirmed:
		return v.say(msgNotConfirmed)
	case InvitationWrong:
		return v.say(msgTeamInvitedWrong)
	case FormOld:
		return v.say(msgFormOld)
	case FormLarge:
		return v.say(msgFormLarge)
	case FormForeign:
		return v.say(msgFormForeign)
	case FormMalformed:
		return v.say(msgFormMalformed)
	default:
		return v.say(msgFormMalformed)
	}
}
