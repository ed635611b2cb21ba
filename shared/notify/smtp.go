package notify

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
)

// SMTP delivers by mail through one server.
//
// It makes a connection for each message, a few at a time, and keeps none: nothing is stale after a Lambda was frozen,
// nothing needs closing, and a failure concerns one message. The cost is about seven round trips a message.
type SMTP struct {
	composer Composer
	server   server
	roots    *x509.CertPool
	slots    chan struct{} // one per connection
}

// connections at a time are what Exchange Online allows
// (https://learn.microsoft.com/en-us/exchange/troubleshoot/send-emails/smtp-submission-improvements).
const connections = 3

const (
	sendTimeout = time.Minute // of one message whose context has no earlier deadline
	quitTimeout = time.Second
)

// NewSMTP reads SMTP_URL: smtp://user:password@host:587 or smtps://user:password@host:465. roots verify the server's
// certificate; nil = the system's.
func NewSMTP(address string, c Composer, roots *x509.CertPool) (*SMTP, error) {
	s, err := parseServer(address)
	if err != nil {
		return nil, fmt.Errorf("SMTP_URL: %w; for example smtp://user:password@mail.example.com:587", err)
	}
	return &SMTP{composer: c, server: s, roots: roots, slots: make(chan struct{}, connections)}, nil
}

func (s *SMTP) Notify(ctx context.Context, m Message) error {
	mail, err := s.composer.Compose(m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return unavailable(ctx.Err(), "all connections to the mail server are busy")
	}
	c, err := s.connect(ctx, mail.ASCII())
	if err != nil {
		return err
	}
	defer c.close()
	if known, _ := c.session.Extension("SMTPUTF8"); !known && !mail.ASCII() {
		return events.Errorf(events.Invalid, "the mail server %s accepts only ASCII before the @ of an address", s.server.address())
	}
	if err := c.client.SendWithSMTPClient(c.session, mail.Msg); err != nil && !mail.IsDelivered() {
		return s.sendError(ctx, c, mail, err)
	}
	return nil
}

// Probe connects and logs in.
func (s *SMTP) Probe(ctx context.Context) (string, error) {
	c, err := s.connect(ctx, true)
	if err != nil {
		return "", err
	}
	c.close()
	return "the mail server " + s.server.address() + " is ready for mail", nil
}

// connection is a session that is logged in. It is closed when its context ends, at whatever step it is.
type connection struct {
	client  *gomail.Client
	session *smtp.Client
	close   func()
}

func (s *SMTP) connect(ctx context.Context, ascii bool) (*connection, error) {
	tlsConfig := &tls.Config{ServerName: s.server.host, RootCAs: s.roots, MinVersion: tls.VersionTLS12}
	dial := (&net.Dialer{}).DialContext
	if s.server.security == implicitTLS {
		dial = (&tls.Dialer{Config: tlsConfig}).DialContext
	}
	conn, err := dial(ctx, "tcp", s.server.address())
	if err != nil {
		return nil, unavailable(Cause(ctx, err), "no connection to the mail server %s", s.server.address())
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	abort := func() {
		stop()
		_ = conn.Close()
	}
	options := []gomail.Option{
		gomail.WithDialContextFunc(func(context.Context, string, string) (net.Conn, error) { return conn, nil }),
		gomail.WithTimeout(sendTimeout), gomail.WithHELO(helo(conn)), gomail.WithoutNoop(), gomail.WithoutRset(),
		gomail.WithTLSConfig(tlsConfig), gomail.WithTLSPolicy(gomail.TLSMandatory),
	}
	if s.server.security != startTLS {
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	}
	if s.server.user != "" {
		options = append(options, gomail.WithUsername(s.server.user), gomail.WithPassword(s.server.password),
			gomail.WithOpportunisticSMTPAuth(gomail.SMTPAuthPlain, gomail.SMTPAuthLogin, gomail.SMTPAuthSCRAMSHA256))
	}
	if ascii { // other servers on the way may reject a mail that needs SMTPUTF8
		options = append(options, gomail.WithoutSMTPUTF8())
	}
	client, err := gomail.NewClient(s.server.host, options...)
	if err != nil {
		abort()
		return nil, fmt.Errorf("a session with the mail server %s cannot be configured: a %T", s.server.address(), err)
	}
	session, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		abort()
		return nil, s.connectError(ctx, err)
	}
	return &connection{client, session, func() {
		if session.UpdateDeadline(quitTimeout) == nil {
			_ = session.Quit() // the mail is accepted or refused by now
		}
		abort()
	}}, nil
}

// helo is the name of the greeting. Some servers refuse "localhost" (smtp-relay.gmail.com does), so it is this machine's
// fully qualified name or else its address (RFC 5321, 4.1.4).
func helo(conn net.Conn) string {
	if host, err := os.Hostname(); err == nil && strings.Contains(host, ".") && hostName.MatchString(host) {
		return host
	}
	host, _, _ := net.SplitHostPort(conn.LocalAddr().String())
	if strings.Contains(host, ":") {
		host, _, _ = strings.Cut("IPv6:"+host, "%")
	}
	return "[" + host + "]"
}

// connectError is Unavailable: before MAIL nothing depends on the message.
func (s *SMTP) connectError(ctx context.Context, err error) error {
	what, text := "the session", err.Error() // go-mail has no types for its steps
	switch {
	case strings.Contains(text, "does not support STARTTLS"):
		what, err = "STARTTLS", errors.New("not offered; add ?tls=none to SMTP_URL to send unencrypted")
	case strings.Contains(text, "does not support SMTP AUTH"), errors.Is(err, gomail.ErrNoSupportedAuthDiscovered):
		what, err = "SMTP AUTH", errors.New("offers none of PLAIN, LOGIN and SCRAM-SHA-256")
	case strings.HasPrefix(text, "SMTP AUTH failed"):
		what = "SMTP AUTH"
		fallthrough
	default:
		if reply, ok := errors.AsType[*textproto.Error](err); ok {
			err = fmt.Errorf("refused with %d", reply.Code)
		} else {
			err = Cause(ctx, err)
		}
	}
	return unavailable(cmp.Or(ctx.Err(), err), "the mail server %s failed at %s", s.server.address(), what)
}

// sendError distinguishes a fault of the message from an outage. A refusal of the recipient concerns the message only if it
// named the recipient and the server accepts another in the same session; codes of policy (5.7.x: relaying, reputation)
// concern us.
func (s *SMTP) sendError(ctx context.Context, c *connection, mail Mail, err error) error {
	failure, ok := errors.AsType[*gomail.SendError](err)
	if !ok || ctx.Err() != nil || failure.ErrorCode() == 0 {
		return unavailable(Cause(ctx, err), "the mail server %s did not confirm the mail; it is sent again with the same Message-ID",
			s.server.address())
	}
	reply := strings.TrimSpace(fmt.Sprint(failure.ErrorCode(), " ", failure.EnhancedStatusCode()))
	permanent := failure.ErrorCode() >= 500
	switch failure.Reason {
	case gomail.ErrSMTPRcptTo:
		if !mail.Named || permanent && strings.HasPrefix(failure.EnhancedStatusCode(), "5.7.") || !c.accepts(s.composer) {
			break
		}
		if permanent {
			return events.Errorf(events.Invalid, "the mail server %s refuses the recipient: %s", s.server.address(), reply)
		}
		return &events.Error{Kind: events.Unavailable, EventOnly: true,
			Message: fmt.Sprintf("the mail server %s refuses the recipient for now: %s", s.server.address(), reply)}
	case gomail.ErrSMTPData, gomail.ErrWriteContent, gomail.ErrSMTPDataClose:
		// A policy may be about the content or about us. 5.4.5 is congestion (RFC 3463): Gmail's daily limit.
		if permanent && failure.EnhancedStatusCode() != "5.4.5" {
			return events.Errorf(events.Unknown, "the mail server %s refuses the mail: %s", s.server.address(), reply)
		}
	}
	return events.Errorf(events.Unavailable, "the mail server %s accepts no mail from us now: %s", s.server.address(), reply)
}

// accepts reports whether the server would take a mail to the first address of NOTIFY_TO.
func (c *connection) accepts(to Composer) bool {
	return c.session.Mail("<"+to.From.Address+">") == nil && c.session.Rcpt("<"+to.To[0]+">") == nil
}

type server struct {
	host, port     string
	user, password string
	security       security
}

type security int

const (
	startTLS    security = iota // required
	implicitTLS                 // from the first byte
	unencrypted
)

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)

// parseServer reads smtp://user:password@host:587 (STARTTLS) or smtps://user:password@host:465 (TLS). smtp:// without a login
// is unencrypted on loopback, and elsewhere with the option ?tls=none.
//
// No error repeats any of the URL: an unescaped password can end up in any part of it.
func parseServer(raw string) (server, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Fragment != "" || strings.Trim(u.Path, "/") != "" || u.Opaque != "" ||
		u.Scheme != "smtp" && u.Scheme != "smtps" {
		return server{}, errors.New("must be an smtp or smtps URL; write special characters of the password as %XX " +
			"(@ is %40, / is %2F)")
	}
	s := server{host: u.Hostname(), port: cmp.Or(u.Port(), "587"), user: u.User.Username()}
	s.password, _ = u.User.Password()
	switch {
	case u.Scheme == "smtps":
		s.security, s.port = implicitTLS, cmp.Or(u.Port(), "465")
	case u.RawQuery == "tls=none", settings.IsLoopback(s.address()) && s.user == "":
		s.security = unencrypted
	}
	switch _, badPort := strconv.ParseUint(s.port, 10, 16); {
	case u.RawQuery != "" && (u.RawQuery != "tls=none" || u.Scheme == "smtps"):
		return server{}, errors.New("has one option, tls=none of smtp://")
	case badPort != nil || !hostName.MatchString(s.host) && net.ParseIP(s.host) == nil:
		return server{}, errors.New("must name a host, and a port up to 65535")
	case (s.user == "") != (s.password == "") || strings.ContainsFunc(s.user+s.password, unicode.IsControl):
		return server{}, errors.New("must have both user and password or neither, without control characters")
	case s.user != "" && s.security == unencrypted:
		return server{}, errors.New("a login needs TLS: remove tls=none or the login")
	}
	return s, nil
}

func (s server) address() string { return net.JoinHostPort(s.host, s.port) }
