package kafka

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// stepTimeout is how long each step to a broker may take. At most two of them are waited for in vain: one that fails, and the
// look at why.
const stepTimeout = 4 * time.Second

// Stage is how far one gets on the way to a broker.
type Stage string

const (
	AtAddress  Stage = "address"  // nobody listens there, or the name is not known
	AtTLS      Stage = "tls"      // one side speaks TLS and the other does not, or the certificate is not right
	AtProtocol Stage = "protocol" // somebody listens, but it is not Kafka
	AtLogin    Stage = "login"    // it does not let us in
	Through    Stage = "through"
)

// Unreachable says where the way to a broker ends, and what to do about it.
type Unreachable struct {
	Address string
	Stage   Stage
	Message string // what is wrong
	Remedy  string
	Err     error // the cause, where there is more to say
}

func (u *Unreachable) Error() string {
	text := fmt.Sprintf("Kafka at %s: %s", u.Address, u.Message)
	if u.Err != nil {
		text += fmt.Sprintf(" (%v)", u.Err)
	}
	return text + "; " + u.Remedy
}

func (u *Unreachable) Unwrap() error { return u.Err }

// Probe goes to a broker step by step, on a connection of its own: address, TLS, protocol, login. nil = through.
func Probe(ctx context.Context, cluster settings.Kafka, address string) *Unreachable {
	p := &probe{ctx: ctx, cluster: cluster, address: address}
	conn, found := p.connect()
	if found != nil {
		return found
	}
	defer conn.Close()
	if err := hello(conn); err != nil {
		return p.noKafka(err)
	}
	if cluster.Mechanism == "" {
		if letsAnybodyIn(conn) {
			return nil
		}
		return p.noLogin()
	}
	return p.login(conn)
}

type probe struct {
	ctx     context.Context
	cluster settings.Kafka
	address string
}

func (p *probe) at(stage Stage, err error, message, remedy string) *Unreachable {
	return &Unreachable{Address: p.address, Stage: stage, Message: message, Remedy: remedy, Err: err}
}

func (p *probe) dial() (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: stepTimeout}).DialContext(p.ctx, "tcp", p.address)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(p.ctx, func() { _ = conn.Close() }) // whoever is asked to end waits for no answer
	return conn, conn.SetDeadline(time.Now().Add(stepTimeout))
}

// connect opens the connection as the settings have it, in TLS or not.
func (p *probe) connect() (net.Conn, *Unreachable) {
	conn, err := p.dial()
	var unknown *net.DNSError
	switch {
	case errors.As(err, &unknown):
		return nil, p.at(AtAddress, err, "the name is not known here", "is it spelt right, and is it one that this machine can see? KAFKA_BROKERS or --brokers says where the brokers are")
	case err != nil:
		return nil, p.at(AtAddress, err, "no broker answers", "does it run? is the address right? KAFKA_BROKERS or --brokers says where the brokers are")
	case !p.cluster.TLS:
		return conn, nil
	}
	config, err := p.cluster.TLSConfig()
	if err != nil {
		_ = conn.Close() // nothing was said on it
		return nil, p.at(AtTLS, err, "KAFKA_TLS_CA_FILE cannot be used", "name a file with the certificate of whoever signed the brokers', in PEM")
	}
	config.ServerName, _, _ = net.SplitHostPort(p.address)
	encrypted := tls.Client(conn, config)
	if err := encrypted.HandshakeContext(p.ctx); err != nil {
		_ = conn.Close() // it is of no use
		return nil, p.noTLS(err)
	}
	return encrypted, nil
}

// noTLS says why no TLS came about.
func (p *probe) noTLS(err error) *Unreachable {
	var refused *tls.CertificateVerificationError
	switch {
	case errors.As(err, &refused):
		return p.badCertificate(refused)
	case p.speaksPlain():
		return p.at(AtTLS, nil, "this port speaks Kafka without TLS", "use the port that speaks TLS, or leave out KAFKA_TLS and KAFKA_TLS_CA_FILE")
	case isTimeout(err):
		return p.at(AtAddress, nil, fmt.Sprintf("somebody listens, but did not answer within %s", stepTimeout), stalled)
	default:
		return p.at(AtTLS, err, "no TLS connection came about", "is this the broker's TLS port, and does it ask for a client's certificate (which is not supported)?")
	}
}

func (p *probe) speaksPlain() bool {
	conn, err := p.dial()
	if err != nil {
		return false
	}
	defer conn.Close()
	return hello(conn) == nil
}

func (p *probe) speaksTLS() bool {
	conn, err := p.dial()
	if err != nil {
		return false
	}
	defer conn.Close()
	// Nothing is said on it: it only asks whether the other side speaks TLS.
	return tls.Client(conn, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(p.ctx) == nil
}

// noKafka says why nobody answered like a broker.
func (p *probe) noKafka(err error) *Unreachable {
	switch {
	case !p.cluster.TLS && p.speaksTLS():
		return p.at(AtTLS, nil, "this port speaks TLS, and it was spoken to without", "set KAFKA_TLS=true, and KAFKA_TLS_CA_FILE where the certificate is not signed by a public authority")
	case isTimeout(err):
		return p.at(AtAddress, nil, fmt.Sprintf("somebody listens, but did not answer within %s", stepTimeout), stalled)
	default:
		return p.at(AtProtocol, err, "what listens there does not answer as Kafka does", "is it the port of the broker, and of its clients, not of its controller?")
	}
}

// stalled is what to do about somebody who is there and says nothing.
const stalled = "is it a Kafka broker? does it run? it may hang, or be overloaded"

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// hello asks for the versions, which every broker answers before the login.
func hello(conn net.Conn) error {
	return ask(conn, kmsg.NewPtrApiVersionsRequest(), new(kmsg.ApiVersionsResponse))
}

// letsAnybodyIn asks what only those are told who are let in.
func letsAnybodyIn(conn net.Conn) bool {
	request, response := kmsg.NewPtrMetadataRequest(), new(kmsg.MetadataResponse)
	request.Version, response.Version = 1, 1
	request.Topics = []kmsg.MetadataRequestTopic{}
	return ask(conn, request, response) == nil
}

// handshake says how one wants to log in, and is told which ways there are.
func handshake(conn net.Conn, mechanism string) (ways []string, err error) {
	request, response := kmsg.NewPtrSASLHandshakeRequest(), new(kmsg.SASLHandshakeResponse)
	request.Version, response.Version = 1, 1
	request.Mechanism = mechanism
	if err := ask(conn, request, response); err != nil {
		return nil, err
	}
	return response.SupportedMechanisms, kerr.ErrorForCode(response.ErrorCode)
}

// noLogin: it hung up on somebody who does not log in.
func (p *probe) noLogin() *Unreachable {
	takes := ""
	if conn, found := p.connect(); found == nil {
		defer conn.Close()
		if ways, _ := handshake(conn, "NONE"); len(ways) > 0 { // none is called so: the answer lists those there are
			takes = " (it takes " + strings.Join(ways, ", ") + ")"
		}
	}
	return p.at(AtLogin, nil, "it asks for a login, and none is set", fmt.Sprintf("set KAFKA_SASL_MECHANISM%s, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD", takes))
}

func (p *probe) noNeed() *Unreachable {
	return p.at(AtLogin, nil, "this port asks nobody to log in", "use the port that does, or leave out KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD")
}

// login logs in, or says why that cannot be.
func (p *probe) login(conn net.Conn) *Unreachable {
	ways, err := handshake(conn, p.cluster.Mechanism)
	switch {
	case errors.Is(err, kerr.IllegalSaslState):
		return p.noNeed()
	case errors.Is(err, kerr.UnsupportedSaslMechanism):
		return p.at(AtLogin, nil, fmt.Sprintf("it does not take %s", p.cluster.Mechanism), "set KAFKA_SASL_MECHANISM to what it takes: "+strings.Join(ways, ", "))
	case err != nil:
		return p.at(AtLogin, err, "it does not say how to log in", "is KAFKA_SASL_MECHANISM meant for this port?")
	}
	if err := conn.SetDeadline(time.Now().Add(stepTimeout)); err != nil {
		return p.at(AtLogin, err, "the connection broke", "try again")
	}
	if err := authenticate(p.ctx, conn, p.cluster, p.address); err != nil {
		if missing := (*noCredentials)(nil); errors.As(err, &missing) {
			return p.at(AtLogin, missing, "there is nothing to log in with", "the reason says where AWS's credentials were looked for")
		}
		if p.cluster.Mechanism == settings.AWSMSKIAM {
			return p.at(AtLogin, err, "it does not take these AWS credentials", "do they exist, have they expired, is the region right (AWS_REGION), and does their policy allow kafka-cluster:Connect?")
		}
		if again, found := p.connect(); found == nil {
			defer again.Close()
			if letsAnybodyIn(again) { // the embedded broker takes anything for a login
				return p.noNeed()
			}
		}
		return p.at(AtLogin, err, fmt.Sprintf("it does not let %q in by %s: there is no such user, or the password is wrong (brokers do not say which)", p.cluster.Username, p.cluster.Mechanism),
			"check KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD, and that the user was made for this mechanism")
	}
	return nil
}

// authenticate carries the mechanism's messages, after the handshake.
func authenticate(ctx context.Context, conn net.Conn, cluster settings.Kafka, address string) error {
	m, err := mechanism(cluster)
	if err != nil {
		return err
	}
	session, message, err := m.Authenticate(ctx, address)
	for done := false; err == nil && (!done || len(message) > 0); {
		request, response := kmsg.NewPtrSASLAuthenticateRequest(), new(kmsg.SASLAuthenticateResponse)
		request.SASLAuthBytes = message
		if err = ask(conn, request, response); err != nil {
			return err
		}
		if err = kerr.ErrorForCode(response.ErrorCode); err != nil {
			if response.ErrorMessage != nil && *response.ErrorMessage != "" {
				err = errors.New(*response.ErrorMessage)
			}
			return err
		}
		if done {
			return nil
		}
		done, message, err = session.Challenge(response.SASLAuthBytes)
	}
	return err
}

// maxAnswer is more than any answer that is asked for here.
const maxAnswer = 1 << 20

// ask sends one request of an old, fixed version and reads its answer.
func ask(conn net.Conn, request kmsg.Request, response kmsg.Response) error {
	const correlation = 7
	if _, err := conn.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID)).AppendRequest(nil, request, correlation)); err != nil {
		return err
	}
	var header [8]byte
	if _, err := io.ReadFull(conn, header[:]); err != nil {
		return fmt.Errorf("it closed the connection: %w", err)
	}
	size := binary.BigEndian.Uint32(header[:])
	if binary.BigEndian.Uint32(header[4:]) != correlation || size < 4 || size > maxAnswer {
		return errors.New("its answer is not Kafka's")
	}
	body := make([]byte, size-4)
	if _, err := io.ReadFull(conn, body); err != nil {
		return err
	}
	return response.ReadFrom(body)
}
