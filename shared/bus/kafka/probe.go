package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// stepTimeout is how long a broker may take to accept a connection, a login and a request.
const stepTimeout = 4 * time.Second

// Stage is the step at which the way to a broker ends.
type Stage string

const (
	AtAddress  Stage = "address"  // no listener, no such name, or no answer
	AtTLS      Stage = "tls"      // only one side uses TLS, or the certificate is not valid
	AtProtocol Stage = "protocol" // the listener is not Kafka
	AtLogin    Stage = "login"
)

// Unreachable says why a broker cannot be used, and what to do about it.
type Unreachable struct {
	Address string
	Stage   Stage
	Message string
	Remedy  string
	Err     error // the cause, where the message does not say it
}

func (u *Unreachable) Error() string {
	return fmt.Sprintf("Kafka at %s: %s; %s", u.Address, u.Reason(), u.Remedy)
}

// Reason is the message, with its cause.
func (u *Unreachable) Reason() string {
	if u.Err != nil {
		return fmt.Sprintf("%s (%v)", u.Message, u.Err)
	}
	return u.Message
}

func (u *Unreachable) Unwrap() error { return u.Err }

// Probe connects to one broker and logs in; nil = it can be used.
func Probe(ctx context.Context, cluster settings.Kafka, address string) *Unreachable {
	cluster.Brokers = []string{address}
	p := &probe{cluster: cluster, address: address}
	if err := p.ping(ctx, cluster); err != nil {
		return p.diagnose(ctx, err)
	}
	return nil
}

// probe is one try to use a broker, and a hook that notes how far it came.
type probe struct {
	cluster   settings.Kafka
	address   string
	connected atomic.Bool  // with TLS, if that is set
	failed    atomic.Int32 // the key of the request that failed; 0 = none
}

func (p *probe) OnBrokerE2E(_ kgo.BrokerMetadata, request int16, e2e kgo.BrokerE2E) {
	p.connected.Store(true)
	if e2e.Err() != nil {
		p.failed.Store(int32(request))
	}
}

func (p *probe) ping(ctx context.Context, cluster settings.Kafka) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	client, err := newClient(cluster, discard, kgo.RequestRetries(0), kgo.WithHooks(p))
	if err != nil {
		return err
	}
	defer client.Close()
	return client.Ping(ctx)
}

func (p *probe) at(stage Stage, cause error, message, remedy string) *Unreachable {
	return &Unreachable{p.address, stage, message, remedy, cause}
}

const checkAddress = "does it run? is the address right? KAFKA_BROKERS or --brokers names the brokers"

// diagnose tells from the error of a ping at which step it failed.
func (p *probe) diagnose(ctx context.Context, err error) *Unreachable {
	var name *net.DNSError
	var dial *net.OpError
	var certificate *tls.CertificateVerificationError
	var file *badCAFile
	var timeout net.Error
	timedOut := errors.As(err, &timeout) && timeout.Timeout()
	switch {
	case errors.As(err, &file):
		return p.at(AtTLS, file.error, "KAFKA_TLS_CA_FILE cannot be used",
			"set it to a PEM file with the certificate of the authority that signed the brokers'")
	case errors.As(err, &name):
		return p.at(AtAddress, err, "the host name cannot be resolved", checkAddress)
	case errors.As(err, &certificate):
		message, remedy := describe(certificate, p.cluster, p.address)
		return p.at(AtTLS, nil, message, remedy)
	case !p.connected.Load() && errors.As(err, &dial) && dial.Op == "dial":
		return p.at(AtAddress, err, "no broker answers", checkAddress)
	case !p.connected.Load() && p.cluster.TLS && p.speaksPlain(ctx):
		return p.at(AtTLS, nil, "this port speaks Kafka without TLS",
			"use the port that speaks TLS, or unset KAFKA_TLS and KAFKA_TLS_CA_FILE")
	case !timedOut && !p.cluster.TLS && p.failed.Load() == int32(kmsg.ApiVersions) && speaksTLS(ctx, p.address):
		return p.at(AtTLS, nil, "this port speaks TLS",
			"set KAFKA_TLS=true, and KAFKA_TLS_CA_FILE where the certificate is not signed by a public authority")
	case timedOut:
		return p.at(AtAddress, nil, fmt.Sprintf("no answer within %s", stepTimeout),
			"is it a Kafka broker, and not overloaded? "+checkAddress)
	case !p.connected.Load():
		return p.at(AtTLS, err, "the TLS handshake failed",
			"is it the broker's TLS port, and does it require a client certificate (not supported)?")
	default:
		return p.loginFault(ctx, err)
	}
}

// loginFault is for a connection on which versions were exchanged.
func (p *probe) loginFault(ctx context.Context, err error) *Unreachable {
	var missing *noCredentials
	var closed *kgo.ErrFirstReadEOF
	open := p.cluster
	open.Mechanism = ""
	switch {
	case errors.As(err, &missing):
		return p.at(AtLogin, missing, "there are no credentials to log in with",
			"the reason says where AWS credentials were looked for")
	case errors.Is(err, kerr.UnsupportedSaslMechanism):
		return p.at(AtLogin, nil, "it does not accept the mechanism "+p.cluster.Mechanism,
			"set KAFKA_SASL_MECHANISM to one that this listener offers: "+mechanisms)
	case p.failed.Load() == int32(kmsg.ApiVersions):
		return p.at(AtProtocol, err, "the listener does not answer as a Kafka broker does",
			"is it the brokers' port for clients, not for controllers?")
	case p.cluster.Mechanism == "" && errors.As(err, &closed):
		return p.at(AtLogin, nil, "it requires a login, and none is set",
			"set KAFKA_SASL_MECHANISM ("+mechanisms+"), KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD")
	case p.cluster.Mechanism == "":
		return p.at(AtProtocol, err, "the listener does not answer as a Kafka broker does",
			"is it the brokers' port for clients, not for controllers?")
	case errors.Is(err, kerr.IllegalSaslState), p.ping(ctx, open) == nil: // the embedded broker answers any login
		return p.at(AtLogin, nil, "this port requires no login",
			"use the port that does, or unset KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD")
	case p.cluster.Mechanism == settings.AWSMSKIAM:
		return p.at(AtLogin, err, "it does not accept these AWS credentials",
			"do they exist, have they expired, is the region right (AWS_REGION), and does their policy allow kafka-cluster:Connect?")
	default:
		return p.at(AtLogin, err, fmt.Sprintf("it does not accept user %q by %s: no such user, or a wrong password",
			p.cluster.Username, p.cluster.Mechanism),
			"check KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD, and that the user was created for this mechanism")
	}
}

// speaksPlain reports whether the broker answers without TLS, if only that it requires a login.
func (p *probe) speaksPlain(ctx context.Context) bool {
	plain := &probe{cluster: p.cluster, address: p.address}
	plain.cluster.TLS, plain.cluster.Mechanism = false, ""
	err := plain.ping(ctx, plain.cluster)
	return err == nil || plain.connected.Load() && plain.failed.Load() == int32(kmsg.Metadata)
}

const mechanisms = settings.Plain + ", " + settings.ScramSHA256 + ", " + settings.ScramSHA512 + " or " + settings.AWSMSKIAM

// describe says what is wrong with the certificate that a broker shows.
func describe(refused *tls.CertificateVerificationError, cluster settings.Kafka, address string) (message, remedy string) {
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	host, _, _ := net.SplitHostPort(address)
	shown := refused.UnverifiedCertificates[0]
	switch {
	case errors.As(refused, &name):
		names := append([]string(nil), shown.DNSNames...)
		for _, ip := range shown.IPAddresses {
			names = append(names, ip.String())
		}
		return fmt.Sprintf("its certificate is not for %s but for %v", host, names),
			"use one of these names in KAFKA_BROKERS and in the broker's advertised.listeners, or issue a certificate for this one"
	case errors.As(refused, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Sprintf("its certificate is valid from %s to %s, and here it is %s", shown.NotBefore.Format(time.RFC3339),
			shown.NotAfter.Format(time.RFC3339), time.Now().UTC().Format(time.RFC3339)), "renew it, or set this machine's clock"
	case cluster.CAFile == "":
		return fmt.Sprintf("its certificate is signed by an unknown authority, %q", shown.Issuer),
			"set KAFKA_TLS_CA_FILE to the certificate of that authority, in PEM"
	default:
		return fmt.Sprintf("its certificate is signed by %q, whose certificate is not in %s", shown.Issuer, cluster.CAFile),
			"set KAFKA_TLS_CA_FILE to the certificate of that authority"
	}
}

func speaksTLS(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	// Nothing is sent on the connection: only the handshake counts.
	conn, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}
