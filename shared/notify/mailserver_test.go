package notify_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/http/httptest"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/settings"
)

const (
	user     = "user-canary"
	password = "pass/word@canary"
	escaped  = "user-canary:pass%2Fword%40canary"
)

// mailServer is a real mail server that keeps what it accepts.
type mailServer struct {
	address string
	roots   *x509.CertPool
	login   []string // the mechanisms it offers
	vanish  bool     // closes the connection in the middle of the mail
	hang    chan struct{}
	quit    chan struct{}

	mutex sync.Mutex
	mails []received
	busy  int // mails between MAIL and their end
	most  int // of them at a time
}

type received struct {
	from, user string
	to         []string
	raw        string
	utf8       bool
}

type offer int

const (
	offersStartTLS offer = iota
	speaksTLS
	knowsNoTLS
)

func newMailServer(t *testing.T, o offer) *mailServer {
	t.Helper()
	web := httptest.NewTLSServer(nil) // for its certificate
	web.Close()
	p := &mailServer{roots: x509.NewCertPool(), login: []string{"PLAIN"}, quit: make(chan struct{})}
	p.roots.AddCert(web.Certificate())
	config := &tls.Config{Certificates: web.TLS.Certificates}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p.address = listener.Addr().String()
	server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &session{server: p, conn: c}, nil }))
	server.Domain, server.AllowInsecureAuth, server.EnableSMTPUTF8 = "post.example", true, true
	server.ErrorLog = log.New(io.Discard, "", 0)
	switch o {
	case offersStartTLS:
		server.TLSConfig = config
	case speaksTLS:
		listener = tls.NewListener(listener, config)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		close(p.quit)
		server.Close()
		listener.Close() // which a server that has not begun does not know
		<-served
	})
	return p
}

// accepted are the mails so far.
func (p *mailServer) accepted() []received {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.mails
}

type session struct {
	server *mailServer
	conn   *smtp.Conn
	received
}

func (s *session) AuthMechanisms() []string { return s.server.login }

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, u, p string) error {
		if u != user || p != password {
			return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "not " + u + " with " + p}
		}
		s.user = u
		return nil
	}), nil
}

func (s *session) Mail(from string, o *smtp.MailOptions) error {
	s.from, s.utf8 = from, o.UTF8
	s.server.mutex.Lock()
	defer s.server.mutex.Unlock()
	s.server.busy++
	s.server.most = max(s.server.most, s.server.busy)
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	if s.server.vanish {
		s.conn.Conn().Close()
	}
	raw, err := io.ReadAll(r)
	if s.server.hang != nil {
		s.server.hang <- struct{}{}
		<-s.server.quit
		return errors.New("too late")
	}
	if err != nil {
		return err
	}
	s.raw = string(raw)
	s.server.mutex.Lock()
	defer s.server.mutex.Unlock()
	s.server.mails = append(s.server.mails, s.received)
	s.server.busy--
	return nil
}

func (s *session) Reset() { s.received = received{user: s.user} }

func (s *session) Logout() error { return nil }

// parsed reads a mail as its recipient would.
func (l received) parsed(t *testing.T) (header mail.Header, subject, text string) {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(l.raw))
	require.NoError(t, err)
	subject, err = new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	require.NoError(t, err)
	require.Equal(t, "quoted-printable", m.Header.Get("Content-Transfer-Encoding"))
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	require.NoError(t, err)
	return m.Header, subject, strings.ReplaceAll(string(body), "\r\n", "\n")
}

// script is a mail server with fixed answers, by command; it quotes all that it received in every refusal. RCPT answers for
// all addresses but the staff's, "RCPT all" for these too.
func script(t *testing.T, answers map[string]string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go recite(conn, answers)
		}
	}()
	return listener.Addr().String()
}

func recite(conn net.Conn, answers map[string]string) {
	defer conn.Close()
	heard, in, inMail := "", bufio.NewScanner(conn), false
	reply := func(command, fallback string) bool {
		answer, ok := answers[command]
		if !ok {
			answer = fallback
		}
		if answer == "" {
			return false
		}
		if ok {
			answer += " " + heard
		}
		_, err := fmt.Fprintf(conn, "%s\r\n", answer)
		return err == nil
	}
	if !reply("greeting", "220 here") {
		return
	}
	for in.Scan() {
		line := in.Text()
		heard += line + " "
		command, _, _ := strings.Cut(strings.ToUpper(line), " ")
		ok := true
		switch {
		case inMail && line == ".":
			inMail = false
			ok = reply("end", "250 ok")
		case inMail:
		case command == "EHLO":
			ok = reply("EHLO", "250-here\r\n250 ENHANCEDSTATUSCODES")
		case command == "DATA":
			inMail = answers["DATA"] == ""
			ok = reply("DATA", "354 go on")
		case command == "RCPT" && (strings.Contains(line, "staff@") || answers["RCPT"] == ""):
			ok = reply("RCPT all", "250 ok")
		default:
			ok = reply(command, "250 ok")
		}
		if !ok {
			return
		}
	}
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func newSMTP(t *testing.T, url string, roots *x509.CertPool) notify.Notifier {
	t.Helper()
	channels, err := notify.New(mailSettings(url), notify.Options{Roots: roots, Now: func() time.Time { return noon }})
	require.NoError(t, err)
	return channels[0]
}

func mailSettings(url string) settings.Notify {
	return settings.Notify{Channels: "smtp", From: "SipEat <notify@sipeat.example>",
		To: "staff@sipeat.example,owner@sipeat.example", SMTPURL: url}
}
