package events

import "slices"

// Notice is the content of a notification.
type Notice struct {
	Type           string `json:"type"` // of its subject
	Message        string `json:"message"`
	RecipientEmail string `json:"recipientEmail,omitempty"`
	SubjectID      string `json:"subjectId,omitempty"` // the id of the contact, machine or request
}

// noticeTypes are what a notification can be about.
var noticeTypes = []string{"contact", "machine", "request"}

// Notification requests the delivery of a notification.
type Notification struct {
	Base
	Notice
}

func (Notification) Topic() string { return "notification" }

// Key is the subject's id, so that notifications about one subject stay in order; empty for a notification without one.
func (n Notification) Key() string { return n.SubjectID }

func (n Notification) check(v *validator) {
	n.Base.check(v)
	v.oneOf("/type", n.Type, noticeTypes)
	v.text(Prose, "/message", n.Message, maxMessage, required)
	v.text(Email, "/recipientEmail", n.RecipientEmail, 0, optional)
	v.text(ID, "/subjectId", n.SubjectID, maxID, optional)
}

// readable needs no id, because a notification without one is kept under its event's, but a type that is known.
func (n Notification) readable() error {
	if !slices.Contains(noticeTypes, n.Type) {
		return notUnderstood("data.type is none of contact, machine and request")
	}
	return nil
}
