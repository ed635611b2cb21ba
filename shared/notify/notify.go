// Package notify says how people are told: by log, by mail over SMTP, by a Discord webhook, and by Amazon SES, which has
// its own package so that nothing else links the AWS SDK. [New] makes of the settings what shall be told, and names
// everything in them that is wrong.
//
// A notification with a recipient is mailed to that address; one without goes to the addresses that the settings name.
// Discord and the log are for staff: they are told of every notification, and of no address.
//
// What every [Notifier] promises, and package notifytest holds it to:
//
//   - It returns nil once whoever carries the message has taken it. A message that nobody answered for may have been
//     delivered all the same; it counts as failed, so that it comes again and arrives twice rather than never. A mail that
//     comes again has the same Message-ID. (SES puts its own in its place, and a webhook knows no repeats.)
//   - Its errors are those of package events. Invalid: refused for what this message is, whatever is tried. Unavailable:
//     everything that is not proven to be this message's fault: the network, TLS, a login, a limit, a right, a policy. With
//     it goes the wait that was asked for. Unknown: refused, and nobody said whose fault it is.
//   - It ends when its context does, and leaves nothing running.
//   - No error text holds anything of a message, an address, or a secret. What a server says is read and never repeated,
//     because servers quote what they were sent.
//
// It is no queue: it neither tries again nor remembers whom it told. The delivery engine does the one, a claim for each
// [Channel] the other.
package notify

import "context"

// Message is what somebody is told.
type Message struct {
	ID        string // of the notification; the same for a repeat
	EventID   string
	Type      string // contact, machine or request
	SubjectID string // the thing it is about; may be empty
	Recipient string // an e-mail address; empty = whoever the settings name
	Text      string
}

// Notifier tells people.
type Notifier interface {
	// Notify returns when the message is on its way. An Invalid error says that it never will be, whatever is tried; an
	// Unavailable one that it may be later.
	Notify(ctx context.Context, m Message) error
}
