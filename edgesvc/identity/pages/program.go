package pages

import (
	"net/http"
	"time"
)

// Paths below View.Base of the pages on which people let programs act for them. They are of
// the control plane's own host.
const (
	PathAllowProgram = "oauth/authorize" // GET from a program; POST its parameters, answer
	PathDevice       = "device"          // GET; POST code
	PathAnswerDevice = "device/answer"   // POST code, answer
)

// FieldAnswer is a form's answer: one of the two.
const (
	FieldAnswer = "answer"
	AnswerAllow = "allow"
	AnswerDeny  = "deny"
)

// AllowProgramForm is what somebody is asked whom a program on their own machine sent.
type AllowProgramForm struct {
	// Program is its name, and At the origin at which it waits for the answer.
	Program, At string
	// Email is who is logged in.
	Email string
	// Request is what the program asked with, names and values.
	Request [][2]string
}

// answers are the two buttons of a question.
func (v View) answers(f form) form {
	f.Buttons = append(f.Buttons,
		button{Label: v.say(msgAllow), Name: FieldAnswer, Value: AnswerAllow},
		button{Label: v.say(msgDeny), Name: FieldAnswer, Value: AnswerDeny, Quiet: true})
	return f
}

// AllowProgram asks whether a program on the visitor's machine may act for them.
func (v View) AllowProgram(a AllowProgramForm) Page {
	v.To = "" // the program says where it leads
	f := v.answers(v.form(PathAllowProgram))
	for _, p := range a.Request {
		f = f.hide(p[0], p[1])
	}
	return v.render(layout{
		title: msgAllowProgramTitle, Heading: v.say(msgAllowProgramHeading, data("program", a.Program)),
		Intro: []text{
			v.say(msgAllowProgramIntro, data("program", a.Program), v.brand(), data("email", a.Email)),
			v.say(msgAllowProgramWarning, data("program", a.Program)),
		},
		Facts:    []fact{{v.say(msgProgramAt), []string{a.At}}},
		Sections: []section{{Forms: []form{f}}},
	})
}

// ProgramUnknown says that a request to act for somebody comes from no program that is known.
func (v View) ProgramUnknown() Page {
	return v.render(layout{
		status: http.StatusBadRequest, wrong: true,
		Heading: v.say(msgProgramUnknownTitle), Intro: []text{v.say(msgProgramUnknownIntro)},
	})
}

// DeviceForm asks for the code that a device shows.
type DeviceForm struct {
	// Wait is how long nobody may try again from here; if zero, they may.
	Wait     time.Duration
	Problems []Problem
}

// Device asks for the code that a device shows.
func (v View) Device(d DeviceForm) Page {
	v.To = "" // it ends here
	// Nothing fills it in: whoever has the code reads it where they started the program.
	code := field{Name: FieldCode, Type: "text", Label: v.say(msgDeviceCode), Autocomplete: "off", MaxLength: codeLength, Hint: v.say(msgDeviceCodeHint)}
	f := v.with(v.form(PathDevice, code).button(v.say(msgContinue)), d.Problems)
	out := layout{
		status: status(d.Problems), Heading: v.say(msgDeviceTitle),
		Intro: []text{v.say(msgDeviceIntro), v.say(msgDeviceWarning)},
	}
	if d.Wait > 0 {
		out.status, out.retry = http.StatusTooManyRequests, d.Wait
		f.Alert = v.say(msgWaitLogin, plain("time", v.language().length(d.Wait)))
	}
	out.Sections = []section{{Forms: []form{f}}}
	return v.render(out)
}

// AllowDeviceForm is what somebody is asked who typed the code of a device.
type AllowDeviceForm struct {
	// Code is the one that was typed.
	Code string
	// Program, Agent and Address are of the device, which asked at Time.
	Program, Agent, Address string
	Time                    time.Time
	// Email is who is logged in.
	Email string
}

// AllowDevice asks whether a program on another machine may act for the visitor.
func (v View) AllowDevice(a AllowDeviceForm) Page {
	v.To = ""                                                   // it ends here
	asked := v.item(a.Agent, a.Address, msgDeviceAsked, a.Time) // nothing that a stranger could write a sentence with
	return v.render(layout{
		title: msgAllowProgramTitle, Heading: v.say(msgAllowDeviceHeading, data("program", a.Program)),
		Intro: []text{
			v.say(msgAllowDeviceIntro, data("program", a.Program), v.brand(), data("email", a.Email)),
			v.say(msgAllowDeviceWarning),
		},
		Sections: []section{{Items: []item{asked}, Forms: []form{v.answers(v.form(PathAnswerDevice).hide(FieldCode, a.Code))}}},
	})
}

// DeviceAllowed says that the device is logged in now.
func (v View) DeviceAllowed() Page {
	return v.render(layout{Heading: v.say(msgDeviceAllowedTitle), Intro: []text{v.say(msgDeviceAllowedIntro)}})
}

// DeviceDenied says that it is not.
func (v View) DeviceDenied() Page {
	return v.render(layout{Heading: v.say(msgDeviceDeniedTitle), Intro: []text{v.say(msgDeviceDeniedIntro)}})
}

// DeviceOff says that devices are not logged in this way: in no case, or not for the visitor.
func (v View) DeviceOff() Page {
	return v.render(layout{
		status: http.StatusForbidden, wrong: true,
		Heading: v.say(msgDeviceOffTitle), Intro: []text{v.say(msgDeviceOffIntro)},
	})
}
