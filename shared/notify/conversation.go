package notify

import (
	"crypto/tls"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"

	"github.com/sipeat/sipeat/shared/events"
)

// conversation is one letter's, step by step, by go-mail's SMTP client. (Its own Client above that keeps the connection
// open when a step fails, hears no context after it is connected, and does not say at which step it failed.)
type conversation struct {
	server server
	tls    *tls.Config
	at     stage
}

// stage is what was said last, in the words of RFC 5321.
type stage string

const (
	stageGreeting  stage = "the greeting"
	stageHello     stage = "EHLO"
	stageTLS       stage = "STARTTLS"
	stageLogin     stage = "AUTH"
	stageSender    stage = "MAIL"
	stageRecipient stage = "RCPT"
	stageData      stage = "DATA"
	stageContent   stage = "the mail"
	stageEnd       stage = "the end of the mail" // from here on the server may have it
)

// refusal is what we find wrong with the server, in our words.
type refusal struct {
	kind events.Kind
	text string
}

func (r refusal) Error() string { return r.text }

func (c *conversation) send(conn net.Conn, letter Letter) error {
	client, err := c.open(conn)
	if err != nil {
		return err
	}
	// Other servers on the way may not know SMTPUTF8 and would return a mail that asks for it, so it is asked for only
	// where an address needs it.
	ascii := isASCII(strings.Join(letter.To, ""))
	client.SkipSMTPUTF8(ascii)
	if known, _ := client.Extension("SMTPUTF8"); !ascii && !known {
		return refusal{events.Invalid, "takes no address with other letters than ASCII before the @"}
	}
	c.at = stageSender
	if err := client.Mail("<" + letter.From + ">"); err != nil {
		return err
	}
	c.at = stageRecipient
	for _, to := range letter.To { // all or none: the transaction is left behind where one is refused
		if err := client.Rcpt("<" + to + ">"); err != nil {
			return err
		}
	}
	c.at = stageData
	body, err := client.Data()
	if err != nil {
		return err
	}
	c.at = stageContent
	if _, err := body.Write(letter.Raw); err != nil {
		return err
	}
	c.at = stageEnd
	if err := body.Close(); err != nil {
		return err
	}
	// It is theirs now, whatever comes of the farewell.
	if client.UpdateDeadline(farewell) == nil {
		_ = client.Quit()
	}
	return nil
}

const farewell = time.Second // for a server that does not answer QUIT

// open says hello, and makes the connection one that the letter may be sent over.
func (c *conversation) open(conn net.Conn) (*smtp.Client, error) {
	c.at = stageGreeting
	client, err := smtp.NewClient(conn, c.server.host)
	if err != nil {
		return nil, err
	}
	c.at = stageHello
	if err := client.Hello(c.name(conn)); err != nil {
		return nil, err
	}
	if c.server.secure == startTLS {
		c.at = stageTLS
		if known, _ := client.Extension("STARTTLS"); !known {
			return nil, refusal{events.Unavailable, "offers no STARTTLS, and nothing is sent in the clear; where that is meant, add ?tls=none to SMTP_URL"}
		}
		if err := client.StartTLS(c.tls); err != nil {
			return nil, err
		}
	}
	if c.server.user != "" {
		c.at = stageLogin
		return client, c.login(client)
	}
	return client, nil
}

// name is how we call ourselves: some servers refuse "localhost" (smtp-relay.gmail.com does), so it is the name of this
// machine if that is one of the domain name system, and else its address (RFC 5321, 4.1.4).
func (c *conversation) name(conn net.Conn) string {
	if c.server.helo != "" {
		return c.server.helo
	}
	if host, err := os.Hostname(); err == nil && strings.Contains(host, ".") && isHostName(host) {
		return host
	}
	host, _, _ := net.SplitHostPort(conn.LocalAddr().String())
	if strings.Contains(host, ":") {
		zoneless, _, _ := strings.Cut(host, "%")
		return "[IPv6:" + zoneless + "]"
	}
	return "[" + host + "]"
}

func (c *conversation) login(client *smtp.Client) error {
	_, offered := client.Extension("AUTH")
	ways := strings.Fields(strings.ToUpper(offered))
	// "false": go-mail too refuses to send a password without TLS.
	switch {
	case slices.Contains(ways, "PLAIN"):
		return client.Auth(smtp.PlainAuth("", c.server.user, c.server.password, c.server.host, false))
	case slices.Contains(ways, "LOGIN"):
		return client.Auth(smtp.LoginAuth(c.server.user, c.server.password, c.server.host, false))
	case slices.Contains(ways, "SCRAM-SHA-256"):
		return client.Auth(smtp.ScramSHA256Auth(c.server.user, c.server.password))
	default:
		return refusal{events.Unavailable, "offers none of the logins PLAIN, LOGIN and SCRAM-SHA-256"}
	}
}
