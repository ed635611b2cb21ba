package events

// Notice is something that people shall be told.
type Notice struct {
	Type           string `json:"type" validate:"oneof=contact machine request"` // what it is about
	Message        string `json:"message" validate:"prose,max=4000"`
	RecipientEmail string `json:"recipientEmail,omitempty" validate:"omitempty,address"`
	SubjectID      string `json:"subjectId,omitempty" validate:"omitempty,max=128,token"` // the contact, machine or request
}

// Notification says that people shall be told something.
type Notification struct {
	Base
	Notice
}

func (Notification) Topic() string { return "notification" }

// Key is the subject's id: what is told of one thing stays in order. It is empty for a notification about nothing.
func (n Notification) Key() string { return n.SubjectID }

// readable: a notification needs no id, being kept under its event's, but it must be about something we know.
func (n Notification) readable() error {
	switch n.Type {
	case "contact", "machine", "request":
		return nil
	}
	return notUnderstood("data.type is none of contact, machine and request")
}
