package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/sipeat/sipeat/shared/events"
)

// SMTP tells people by mail.
//
// It makes a connection for each message, a few at a time, and keeps none. So nothing is stale after a Lambda was frozen,
// nothing needs closing, and a failure is one message's own; it costs about seven round trips a message, most of them TLS
// and login.
type SMTP struct {
	mail   Mail
	server server
	tls    *tls.Config
	places chan struct{}
}

// longest is how long one letter may take where its context says nothing shorter.
const longest = time.Minute

// NewSMTP reads SMTP_URL, as parseServer describes it. Roots are who may vouch for the server; nil is the system's.
func NewSMTP(url string, mail Mail, roots *x509.CertPool) (*SMTP, error) {
	s, err := parseServer(url)
	if err != nil {
		var faults []error
		for text := range strings.SplitSeq(err.Error(), "\n") {
			faults = append(faults, fmt.Errorf("SMTP_URL: %s; for example smtp://user:password@mail.example.com:587", text))
		}
		return nil, errors.Join(faults...)
	}
	return &SMTP{
		mail: mail, server: s, places: make(chan struct{}, s.connections),
		tls: &tls.Config{ServerName: s.host, RootCAs: roots, MinVersion: tls.VersionTLS12},
	}, nil
}

func (s *SMTP) Notify(ctx context.Context, m Message) error {
	letter, err := s.mail.Compose(m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	select {
	case s.places <- struct{}{}:
		defer func() { <-s.places }()
	case <-ctx.Done():
		return unavailable(ctx.Err(), "all connections to the mail server are busy")
	}
	return s.send(ctx, letter)
}

func (s *SMTP) send(ctx context.Context, letter Letter) error {
	conn, err := s.dial(ctx)
	if err != nil {
		return unavailable(Cause(ctx, err), "no connection to the mail server %s", s.server.address())
	}
	// Closing is what ends a conversation at any point of it: its deadlines are not all ours to set.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer conn.Close()
	defer stop()

	c := conversation{server: s.server, tls: s.tls}
	if err := c.send(conn, letter); err != nil {
		return c.explain(ctx, err, letter.Named)
	}
	return nil
}

func (s *SMTP) dial(ctx context.Context) (net.Conn, error) {
	if s.server.secure == implicit {
		return (&tls.Dialer{Config: s.tls}).DialContext(ctx, "tcp", s.server.address())
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", s.server.address())
}

// explain gives a failure its kind, and the text that may be shown.
func (c *conversation) explain(ctx context.Context, err error, named bool) error {
	if r, ok := replyOf(err); ok && ctx.Err() == nil {
		switch kind := r.verdict(c.at, named); {
		case kind == events.Invalid:
			return events.Errorf(kind, "the mail server %s refuses this mail: %s to %s", c.server.address(), r, c.at)
		case kind == events.Unavailable && r.refusesRecipient(c.at):
			return events.Errorf(kind, "the mail server %s refuses an address of NOTIFY_TO: %s to %s", c.server.address(), r, c.at)
		default:
			return events.Errorf(kind, "the mail server %s does not take mail from us: %s to %s", c.server.address(), r, c.at)
		}
	}
	if fault, ok := errors.AsType[refusal](err); ok && ctx.Err() == nil {
		return events.Errorf(fault.kind, "the mail server %s %s", c.server.address(), fault.text)
	}
	if c.at == stageEnd {
		return unavailable(Cause(ctx, err), "the mail server %s did not say whether it took the mail; it is sent again, with the same Message-ID", c.server.address())
	}
	return unavailable(Cause(ctx, err), "the mail server %s failed at %s", c.server.address(), c.at)
}
