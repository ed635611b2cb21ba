package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"
)

// The behaviours of a sink, as the history names them.
const (
	ok       = "ok"
	timedOut = "timeout-after-delivery"
	failed   = "5xx"
	hangs    = "hang"
	refused  = "refused-recipient"
)

// sinks are a mail server and a webhook that misbehave: rarely all the time, often during a fault. What they received is
// written at the end, when the notifications' event ids are known.
type sinks struct {
	mu       sync.Mutex
	random   *rand.Rand
	often    bool
	failures map[string]int // by sink and notification
	received []received

	mail, web net.Listener
}

type received struct {
	effect
	notification string // its id, or the refused recipient
}

func startSinks(ctx context.Context, seed int64) (*sinks, error) {
	s := &sinks{random: rand.New(rand.NewPCG(uint64(seed), 1)), failures: map[string]int{}}
	var err error
	if s.mail, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	if s.web, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	server := &http.Server{Handler: http.HandlerFunc(s.post), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(s.web) }()
	go func() {
		for {
			c, err := s.mail.Accept()
			if err != nil {
				return
			}
			go s.session(ctx, c)
		}
	}()
	context.AfterFunc(ctx, func() {
		_ = server.Close()
		_ = s.mail.Close()
	})
	return s, nil
}

func (s *sinks) settings() []string {
	return []string{"NOTIFY=smtp,discord", "NOTIFY_FROM=sipeat@example.com", "NOTIFY_TO=team@example.com",
		"SMTP_URL=smtp://" + s.mail.Addr().String(), "DISCORD_WEBHOOK=http://" + s.web.Addr().String() + "/api/webhooks/1/x"}
}

func (s *sinks) misbehave(often bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.often = often
}

// decide notes a message and chooses what happens to it. A message fails three times at most, because the program gives up
// after five.
func (s *sinks) decide(sink, notification string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	behaviour, key := ok, sink+notification
	chance := 0.03
	if s.often {
		chance = 0.5
	}
	if s.failures[key] < 3 && s.random.Float64() < chance {
		s.failures[key]++
		behaviour = []string{timedOut, failed, hangs}[s.random.IntN(3)]
	}
	s.note(sink, notification, behaviour)
	return behaviour
}

func (s *sinks) note(sink, notification, behaviour string) {
	s.received = append(s.received, received{effect{when: now(), Sink: sink, Behaviour: behaviour,
		Delivered: behaviour == ok || behaviour == timedOut}, notification})
}

const hangTime = 3 * time.Second

// wait waits until the time is over or the other end goes.
func wait(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-ctx.Done()
}

var webReference = regexp.MustCompile(`notification (\S+)`)

func (s *sinks) post(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	var message struct{ Content string }
	_ = json.Unmarshal(b, &message)
	all := webReference.FindAllStringSubmatch(message.Content, -1)
	if r.Method != http.MethodPost || len(all) == 0 {
		return
	}
	switch s.decide("webhook", all[len(all)-1][1]) {
	case failed:
		w.WriteHeader(http.StatusBadGateway)
	case hangs, timedOut:
		wait(r.Context(), hangTime)
		panic(http.ErrAbortHandler)
	}
}

var mailReference = regexp.MustCompile(`(?mi)^Message-ID:\s*<notification\.([^@]+)@`)

// session is a session of SMTP (RFC 5321). Recipients that begin with "refused" do not exist.
func (s *sinks) session(ctx context.Context, c net.Conn) {
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(c, format+"\r\n", args...) }
	in := bufio.NewReader(c)
	say("220 sink ESMTP")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		switch verb, rest, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(line)), " "); verb {
		case "EHLO", "HELO":
			say("250-sink\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n250 PIPELINING")
		case "RCPT":
			if strings.HasPrefix(rest, "TO:<REFUSED") {
				s.mu.Lock()
				s.note("smtp", strings.ToLower(strings.Trim(strings.TrimPrefix(rest, "TO:"), "<> ")), refused)
				s.mu.Unlock()
				say("550 5.1.1 no such mailbox")
				continue
			}
			say("250 2.1.5 ok")
		case "DATA":
			say("354 go on")
			var text strings.Builder
			for line != ".\r\n" {
				if line, err = in.ReadString('\n'); err != nil {
					return
				}
				text.WriteString(line)
			}
			id := mailReference.FindStringSubmatch(text.String())
			if id == nil {
				say("554 5.6.0 without a Message-ID of a notification")
				continue
			}
			switch s.decide("smtp", id[1]) {
			case ok:
				say("250 2.0.0 taken")
			case failed:
				say("451 4.3.0 try again")
			default:
				wait(ctx, hangTime)
				return
			}
		case "QUIT":
			say("221 2.0.0 bye")
			return
		default:
			say("250 2.0.0 ok")
		}
	}
}

// A proxy passes connections on to a server, unless its mode is another.
type proxy struct {
	net.Listener
	target string

	mu    sync.Mutex
	mode  string
	conns map[net.Conn]bool
	fresh chan struct{} // closed when the mode changes
}

// The modes of a proxy.
const (
	passes      = ""
	refuses     = "refuse"       // new connections, and ends those there are
	blackHole   = "black hole"   // nothing arrives, nothing ends
	slow        = "slow"         // each piece takes 300 ms
	loseAnswers = "lose answers" // what the server answers is dropped
)

func startProxy(ctx context.Context, target string) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{Listener: l, target: target, conns: map[net.Conn]bool{}, fresh: make(chan struct{})}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(ctx, c)
		}
	}()
	context.AfterFunc(ctx, func() {
		_ = l.Close()
		p.cut()
	})
	return p, nil
}

func (p *proxy) set(mode string) {
	p.mu.Lock()
	p.mode = mode
	close(p.fresh)
	p.fresh = make(chan struct{})
	p.mu.Unlock()
	if mode == refuses {
		p.cut()
	}
}

func (p *proxy) now() (mode string, fresh chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mode, p.fresh
}

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
}

func (p *proxy) serve(ctx context.Context, c net.Conn) {
	defer c.Close()
	if mode, _ := p.now(); mode == refuses {
		return
	}
	server, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	p.mu.Lock()
	p.conns[c], p.conns[server] = true, true
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.copy(ctx, server, c, false) })
	both.Go(func() { p.copy(ctx, c, server, true) })
	both.Wait()
	p.mu.Lock()
	delete(p.conns, c)
	delete(p.conns, server)
	p.mu.Unlock()
}

func (p *proxy) copy(ctx context.Context, to, from net.Conn, answers bool) {
	defer to.Close()
	defer from.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		mode, fresh := p.now()
		for mode == blackHole && ctx.Err() == nil {
			select {
			case <-fresh:
			case <-ctx.Done():
			}
			mode, fresh = p.now()
		}
		if mode == slow {
			wait(ctx, 300*time.Millisecond)
		}
		if mode == loseAnswers && answers {
			continue
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}
