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
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/notify"
)

const (
	user     = "user-canary"
	password = "pass/word@canary"
	escaped  = "user-canary:pass%2Fword%40canary"
)

// post is a mail server.
type post struct {
	address string
	roots   *x509.CertPool
	login   []string // the mechanisms it offers
	fail    map[string]*smtp.SMTPError
	vanish  bool // closes the connection in the middle of the mail
	hang    chan struct{}
	quit    chan struct{}

	mutex   sync.Mutex
	letters []letter
	busy    int // letters between MAIL and their end
	most    int // of them at a time
}

type letter struct {
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

func newPost(t *testing.T, o offer) *post {
	t.Helper()
	config, roots := certificate(t)
	p := &post{roots: roots, login: []string{"PLAIN"}, fail: map[string]*smtp.SMTPError{}, quit: make(chan struct{})}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p.address = listener.Addr().String()
	server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &session{post: p, conn: c}, nil }))
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

// received are the letters so far.
func (p *post) received() []letter {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.letters
}

type session struct {
	post *post
	conn *smtp.Conn
	letter
}

func (s *session) AuthMechanisms() []string { return s.post.login }

func (s *session) Auth(mechanism string) (sasl.Server, error) {
	check := func(u, p string) error {
		if u != user || p != password {
			return smtp.ErrAuthFailed
		}
		s.user = u
		return s.failing("AUTH")
	}
	if mechanism == "LOGIN" {
		return &loginServer{check: check}, nil
	}
	return sasl.NewPlainServer(func(_, u, p string) error { return check(u, p) }), nil
}

// failing is a failure that is not a nil of its type.
func (s *session) failing(at string) error {
	if e := s.post.fail[at]; e != nil {
		return e
	}
	return nil
}

func (s *session) Mail(from string, o *smtp.MailOptions) error {
	s.from, s.utf8 = from, o.UTF8
	s.post.mutex.Lock()
	s.post.busy++
	s.post.most = max(s.post.most, s.post.busy)
	s.post.mutex.Unlock()
	return s.failing("MAIL")
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return s.failing("RCPT")
}

func (s *session) Data(r io.Reader) error {
	if s.post.vanish {
		s.conn.Conn().Close()
	}
	raw, err := io.ReadAll(r)
	if s.post.hang != nil {
		select {
		case s.post.hang <- struct{}{}:
		default:
		}
		<-s.post.quit
		return errors.New("too late")
	}
	if e := s.post.fail["DATA"]; e != nil {
		return &smtp.SMTPError{Code: e.Code, EnhancedCode: e.EnhancedCode, Message: e.Message + ": " + strings.ReplaceAll(string(raw), "\r\n", " ")}
	}
	if err != nil {
		return err
	}
	s.raw = string(raw)
	s.post.mutex.Lock()
	defer s.post.mutex.Unlock()
	s.post.letters = append(s.post.letters, s.letter)
	s.post.busy--
	return nil
}

func (s *session) Reset() { s.letter = letter{user: s.user} }

func (s *session) Logout() error { return nil }

// loginServer is the server's side of AUTH LOGIN, which go-sasl no longer has.
type loginServer struct {
	check func(user, password string) error
	said  []string
}

func (l *loginServer) Next(response []byte) ([]byte, bool, error) {
	if response != nil {
		l.said = append(l.said, string(response))
	}
	switch len(l.said) {
	case 0:
		return []byte("Username:"), false, nil
	case 1:
		return []byte("Password:"), false, nil
	}
	return nil, true, l.check(l.said[0], l.said[1])
}

// parsed reads a letter as its recipient would.
func (l letter) parsed(t *testing.T) (header mail.Header, subject, text string) {
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

// script is a mail server that says what it is told to, and quotes what it has heard in every refusal.
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
	say := func(stage, fallback string) bool {
		answer, ok := answers[stage]
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
	if !say("greeting", "220 here") {
		return
	}
	for in.Scan() {
		line := in.Text()
		heard += line + " "
		word, _, _ := strings.Cut(strings.ToUpper(line), " ")
		ok := true
		switch {
		case inMail && line == ".":
			inMail = false
			ok = say("end", "250 ok")
		case inMail:
		case word == "EHLO" || word == "HELO":
			ok = say("EHLO", "250 here")
		case word == "DATA":
			inMail = answers["DATA"] == ""
			ok = say("DATA", "354 go on")
		default:
			ok = say(word, "250 ok")
		}
		if !ok {
			return
		}
	}
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func settings(url string, roots *x509.CertPool) notify.Settings {
	return notify.Settings{
		Notify: "smtp", From: "SipEat <notify@sipeat.example>", To: "staff@sipeat.example,owner@sipeat.example",
		SMTPURL: url, Roots: roots, Now: func() time.Time { return noon },
	}
}

func newSMTP(t *testing.T, url string, roots *x509.CertPool) notify.Notifier {
	t.Helper()
	channels, err := notify.New(settings(url, roots))
	require.NoError(t, err)
	return channels
}
