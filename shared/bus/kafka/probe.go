package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// probeTimeout is how long a broker may take to accept a connection, a login and a request.
const probeTimeout = 4 * time.Second

// Stage is the step at which the way to a broker ends.
type Stage string

const (
	AtAddress Stage = "address" // no such name, no listener, or no answer
	AtTLS     Stage = "tls"     // only one side uses TLS, or the certificate is not valid
	AtLogin   Stage = "login"
)

// Unreachable is the error of a broker that cannot be used, and what to do about it.
type Unreachable struct {
	Address string
	Stage   Stage
	Message string
	Remedy  string
	Err     error // the cause, if the message does not include it
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

// BrokerState is the outcome of probing one broker.
type BrokerState struct {
	Address    string
	Given      bool         // by the settings; otherwise by the cluster
	Advertised bool         // by the cluster; false for all = no broker answered
	Fault      *Unreachable // nil = it can be used
}

// Brokers probes every broker: those of the settings and, through them, those that the cluster advertises.
func Brokers(ctx context.Context, cluster settings.Kafka) []BrokerState {
	var states []BrokerState
	usable := cluster
	usable.Brokers = nil
	for i, fault := range probeAll(ctx, cluster, cluster.Brokers) {
		states = append(states, BrokerState{Address: cluster.Brokers[i], Given: true, Fault: fault})
		if fault == nil {
			usable.Brokers = append(usable.Brokers, cluster.Brokers[i])
		}
	}
	if len(usable.Brokers) == 0 {
		return states
	}
	advertised, err := withClient(usable, func(client *kgo.Client) (kadm.BrokerDetails, error) {
		ctx, cancel := context.WithTimeout(ctx, metadataTimeout)
		defer cancel()
		return kadm.NewClient(client).ListBrokers(ctx)
	})
	if err != nil {
		return states
	}
	var others []string
next:
	for _, b := range advertised {
		address := net.JoinHostPort(b.Host, fmt.Sprint(b.Port))
		for i := range states {
			if states[i].Address == address {
				states[i].Advertised = true
				continue next
			}
		}
		others = append(others, address)
	}
	for i, fault := range probeAll(ctx, cluster, others) {
		states = append(states, BrokerState{Address: others[i], Advertised: true, Fault: fault})
	}
	return states
}

func probeAll(ctx context.Context, cluster settings.Kafka, addresses []string) []*Unreachable {
	faults := make([]*Unreachable, len(addresses))
	var probing sync.WaitGroup
	for i, address := range addresses {
		probing.Go(func() { faults[i] = probe(ctx, cluster, address) })
	}
	probing.Wait()
	return faults
}

// progress is a hook that records how far a client gets with a broker.
type progress struct {
	connected  atomic.Bool // with TLS, if that is set
	negotiated atomic.Bool // the versions of the protocol: it is a Kafka broker
}

func (p *progress) OnBrokerE2E(_ kgo.BrokerMetadata, request int16, e2e kgo.BrokerE2E) {
	p.connected.Store(true)
	if e2e.Err() == nil && request == int16(kmsg.ApiVersions) {
		p.negotiated.Store(true)
	}
}

// probe connects to one broker and logs in; nil = it can be used.
func probe(ctx context.Context, cluster settings.Kafka, address string) *Unreachable {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	cluster.Brokers = []string{address}
	p := &progress{}
	client, err := newClient(cluster, discard, kgo.RequestRetries(0), kgo.WithHooks(p))
	if err == nil {
		defer client.Close()
		err = client.Ping(ctx)
	}
	if err == nil {
		return nil
	}
	u := p.diagnose(cluster, err)
	u.Address = address
	return u
}

const (
	checkAddress = "does it run? is the address right? KAFKA_BROKERS or --brokers names the brokers"
	mechanisms   = settings.Plain + ", " + settings.ScramSHA256 + ", " + settings.ScramSHA512 + " or " + settings.AWSMSKIAM
)

// diagnose finds the step at which a ping failed from its error.
func (p *progress) diagnose(cluster settings.Kafka, err error) *Unreachable {
	var name *net.DNSError
	var dial *net.OpError
	var certificate *tls.CertificateVerificationError
	var file *badCAFile
	var missing *noCredentials
	var timeout net.Error
	var closed *kgo.ErrFirstReadEOF
	switch {
	case errors.As(err, &file):
		return &Unreachable{Stage: AtTLS, Err: file.error, Message: "KAFKA_TLS_CA_FILE cannot be used",
			Remedy: "set it to a PEM file with the certificate of the authority that signed the brokers'"}
	case errors.As(err, &missing):
		return &Unreachable{Stage: AtLogin, Err: missing, Message: "there are no credentials to log in with",
			Remedy: "the reason says where AWS credentials were looked for"}
	case errors.As(err, &name):
		return &Unreachable{Stage: AtAddress, Err: err, Message: "the host name cannot be resolved", Remedy: checkAddress}
	case errors.As(err, &certificate):
		return &Unreachable{Stage: AtTLS, Err: certificate.Err,
			Message: fmt.Sprintf("its certificate, signed by %q, is not valid here", certificate.UnverifiedCertificates[0].Issuer),
			Remedy: "set KAFKA_TLS_CA_FILE to the certificate of the authority that signed it, in PEM, or have the broker" +
				" show a valid certificate for this address"}
	case !p.connected.Load() && errors.As(err, &dial) && dial.Op == "dial":
		return &Unreachable{Stage: AtAddress, Err: err, Message: "no broker answers", Remedy: checkAddress}
	case errors.As(err, &timeout) && timeout.Timeout():
		return &Unreachable{Stage: AtAddress, Message: fmt.Sprintf("no answer within %s", probeTimeout),
			Remedy: "is it a Kafka broker, and not overloaded? " + checkAddress}
	case !p.connected.Load():
		return &Unreachable{Stage: AtTLS, Err: err, Message: "the TLS handshake failed; this port may speak Kafka without TLS",
			Remedy: "use the broker's TLS port, or unset KAFKA_TLS and KAFKA_TLS_CA_FILE (client certificates are not supported)"}
	case !p.negotiated.Load() && !cluster.TLS:
		return &Unreachable{Stage: AtTLS, Err: err, Message: "this port speaks TLS, or is not a Kafka broker's port for clients",
			Remedy: "set KAFKA_TLS=true, and KAFKA_TLS_CA_FILE where the certificate is not signed by a public authority; or use" +
				" the right port"}
	case !p.negotiated.Load(), cluster.Mechanism == "" && !errors.As(err, &closed):
		return &Unreachable{Stage: AtAddress, Err: err, Message: "the listener does not answer as a Kafka broker does",
			Remedy: checkAddress}
	case cluster.Mechanism == "":
		return &Unreachable{Stage: AtLogin, Message: "it requires a login, and none is set",
			Remedy: "set KAFKA_SASL_MECHANISM (" + mechanisms + "), KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"}
	case errors.Is(err, kerr.UnsupportedSaslMechanism), errors.Is(err, kerr.IllegalSaslState):
		return &Unreachable{Stage: AtLogin, Err: err, Message: "it does not accept the mechanism " + cluster.Mechanism,
			Remedy: "set KAFKA_SASL_MECHANISM to one that this listener offers: " + mechanisms + ", or unset it where none is required"}
	case cluster.Mechanism == settings.AWSMSKIAM:
		return &Unreachable{Stage: AtLogin, Err: err, Message: "it does not accept these AWS credentials",
			Remedy: "do they exist, have" +
				" they expired, is the region right (AWS_REGION), and does their policy allow kafka-cluster:Connect?"}
	}
	return &Unreachable{Stage: AtLogin, Err: err,
		Message: fmt.Sprintf("it does not accept user %q by %s: no such user, or a wrong password", cluster.Username,
			cluster.Mechanism),
		Remedy: "check KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD, and that the user was created for this mechanism"}
}
