package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Requirements are the topics that a program is about to use.
type Requirements struct{ Read, Write []string }

// Preflight checks, before a program relies on them, that brokers can be reached, and that its topics exist and may be used. It
// names each fault, within 15 s. Brokers that cannot be used while others can are logged.
//
// It returns the cluster with those of its addresses that can be used. A client that has the others too may try them first, and
// if one hangs, it gets no metadata for 10 s and more; once it has, it knows all brokers by name.
func Preflight(ctx context.Context, cluster settings.Kafka, logger *slog.Logger, r Requirements) (settings.Kafka, error) {
	ctx, cancel := context.WithTimeout(ctx, 14*time.Second)
	defer cancel()
	states, usable := Brokers(ctx, cluster)
	if errors.Is(ctx.Err(), context.Canceled) {
		return cluster, ctx.Err()
	}
	var faults []error
	for _, s := range states {
		if s.Err != nil {
			faults = append(faults, fmt.Errorf("Kafka at %s: %w; %s", s.Address, s.Err, s.Remedy))
		}
	}
	if len(usable.Brokers) == 0 {
		return cluster, errors.Join(faults...)
	}
	for _, fault := range faults {
		logger.Warn("a broker cannot be used, but others can", "reason", fault.Error())
	}
	return withClient(usable, func(client *kgo.Client) (settings.Kafka, error) {
		return usable, r.check(ctx, admin{kadm.NewClient(client), cluster})
	})
}

// BrokerState is the outcome of probing one broker.
type BrokerState struct {
	Address string
	Stage   string // at which it failed: address, tls or login
	Err     error  // why; nil = it can be used
	Remedy  string // what to do about that

	advertised []string // addresses of the cluster's brokers
}

// Brokers probes every broker: those of the settings and, through them, those that the cluster advertises. usable is the cluster
// with those addresses of the settings that can be used: none, if none can be used of those that the cluster advertises, to
// which it refers clients.
func Brokers(ctx context.Context, cluster settings.Kafka) (states []BrokerState, usable settings.Kafka) {
	states, usable = probeAll(ctx, cluster, cluster.Brokers), cluster
	usable.Brokers = nil
	var advertised []string
	for _, s := range states {
		if s.Err == nil {
			usable.Brokers = append(usable.Brokers, s.Address)
		}
		advertised = append(advertised, s.advertised...)
	}
	slices.Sort(advertised)
	others := slices.DeleteFunc(slices.Compact(slices.Clone(advertised)), func(address string) bool {
		return slices.Contains(cluster.Brokers, address)
	})
	for _, s := range probeAll(ctx, cluster, others) {
		s.Remedy = "the cluster advertises this address: set the broker's advertised.listeners to one that can be reached from" +
			" here; " + s.Remedy
		states = append(states, s)
	}
	reached := func(s BrokerState) bool { return s.Err == nil && slices.Contains(advertised, s.Address) }
	if len(advertised) > 0 && !slices.ContainsFunc(states, reached) {
		usable.Brokers = nil
	}
	return states, usable
}

func probeAll(ctx context.Context, cluster settings.Kafka, addresses []string) []BrokerState {
	states := make([]BrokerState, len(addresses))
	var probing sync.WaitGroup
	for i, address := range addresses {
		probing.Go(func() { states[i] = probe(ctx, cluster, address) })
	}
	probing.Wait()
	return states
}

// negotiated is a hook that records that a broker has answered with the versions of its protocol: it is a Kafka broker.
type negotiated struct{ atomic.Bool }

func (n *negotiated) OnBrokerE2E(_ kgo.BrokerMetadata, request int16, e2e kgo.BrokerE2E) {
	if e2e.Err() == nil && request == int16(kmsg.ApiVersions) {
		n.Store(true)
	}
}

const mechanisms = settings.Plain + ", " + settings.ScramSHA256 + ", " + settings.ScramSHA512 + " or " + settings.AWSMSKIAM

// probe connects to one broker, logs in and requests the addresses of all, within 4 s. It finds the step at which that fails.
func probe(ctx context.Context, cluster settings.Kafka, address string) BrokerState {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	cluster.Brokers = []string{address}
	var kafka negotiated
	client, err := NewClient(cluster, discard, kgo.RequestRetries(0), kgo.WithHooks(&kafka))
	if err != nil {
		return BrokerState{Address: address, Stage: "tls", Err: err,
			Remedy: "set it to a PEM file with the certificate of the authority that signed the brokers'"}
	}
	defer client.Close()
	metadata, err := kadm.NewClient(client).BrokerMetadata(ctx)
	fault := func(stage, message, remedy string) BrokerState {
		return BrokerState{Address: address, Stage: stage, Err: fmt.Errorf("%s: %w", message, err), Remedy: remedy}
	}
	dial, _ := errors.AsType[*net.OpError](err)
	timeout, _ := errors.AsType[net.Error](err)
	switch {
	case err == nil:
		s := BrokerState{Address: address}
		for _, b := range metadata.Brokers {
			s.advertised = append(s.advertised, net.JoinHostPort(b.Host, fmt.Sprint(b.Port)))
		}
		return s
	case dial != nil && dial.Op == "dial", timeout != nil && timeout.Timeout():
		return fault("address", "no broker answers", "is the address that of a Kafka broker, is it running, and not overloaded?"+
			" KAFKA_BROKERS or --brokers names the brokers")
	case !kafka.Load() && cluster.TLS:
		return fault("tls", "the TLS handshake failed", "set KAFKA_TLS_CA_FILE to the certificate of the authority that signed the"+
			" broker's, in PEM, or have it show a valid one for this address; if the port speaks Kafka without TLS, use the one"+
			" with TLS, or unset KAFKA_TLS and KAFKA_TLS_CA_FILE (client certificates are not supported)")
	case !kafka.Load():
		return fault("tls", "this port speaks TLS, or is not a Kafka broker's port for clients", "set KAFKA_TLS=true, and"+
			" KAFKA_TLS_CA_FILE where the certificate is not signed by a public authority; or use the right port")
	case cluster.Mechanism == "":
		return fault("login", "it requires a login, and none is set",
			"set KAFKA_SASL_MECHANISM ("+mechanisms+"), KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD")
	case cluster.Mechanism == settings.AWSMSKIAM:
		return fault("login", "it does not accept AWS_MSK_IAM with these AWS credentials", "do they exist, have they expired, is the"+
			" region right (AWS_REGION), does their policy allow kafka-cluster:Connect, and does this listener offer the mechanism?")
	}
	return fault("login", fmt.Sprintf("it does not accept user %q by %s: no such user, a wrong password, or a mechanism that this"+
		" listener does not offer", cluster.Username, cluster.Mechanism), "check KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and"+
		" KAFKA_SASL_MECHANISM ("+mechanisms+"; unset it where no login is required), and that the user was created for it")
}

func (r Requirements) check(ctx context.Context, a admin) error {
	var faults []error
	for _, name := range slices.Compact(slices.Sorted(slices.Values(slices.Concat(r.Read, r.Write)))) {
		topic, err := a.topic(ctx, name)
		if errors.Is(err, context.DeadlineExceeded) { // so it is for the others
			return err
		}
		faults = append(faults, err)
		lacks := func(users []string, operation kmsg.ACLOperation) bool {
			allowed := topic.AuthorizedOperations // nil = the broker does not say: only a try shows it
			return slices.Contains(users, name) && allowed != nil && !slices.Contains(allowed, operation)
		}
		if lacks(r.Read, kmsg.ACLOperationRead) {
			faults = append(faults, denied(a.cluster, "Read", "topic", name))
		}
		if lacks(r.Write, kmsg.ACLOperationWrite) {
			faults = append(faults, denied(a.cluster, "Write", "topic", name))
		}
	}
	return errors.Join(faults...)
}

// topic describes a topic, with what is permitted on it, within 6 s. One that cannot be used has an error, unless it can be soon.
func (a admin) topic(ctx context.Context, name string) (kadm.TopicDetail, error) {
	ctx, cancel := context.WithTimeout(ctx, 6*time.Second)
	defer cancel()
	metadata, err := a.Metadata(kadm.WithAuthorizedOps(ctx), name)
	topic := metadata.Topics[name]
	switch {
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		err = denied(a.cluster, "Describe", "topic", name)
	case err != nil:
		err = fmt.Errorf("the brokers at %s accept connections but do not answer (are they starting, or overloaded?): %w",
			strings.Join(a.cluster.Brokers, ", "), err)
	case errors.Is(topic.Err, kerr.UnknownTopicOrPartition), errors.Is(topic.Err, kerr.InvalidTopicException):
		err = events.Errorf(events.NotFound, "there is no topic %s; `sipeat topics` creates those of SipEat", name)
	case topic.Err != nil && !kerr.IsRetriable(topic.Err): // the election of a leader ends
		err = fmt.Errorf("topic %s: %w", name, topic.Err)
	}
	return topic, err
}

// denied is the error of a missing right, as Kafka names it; it says how to grant it.
func denied(cluster settings.Kafka, operation, kind, name string) error {
	if cluster.Mechanism == settings.AWSMSKIAM {
		return fmt.Errorf("the AWS identity lacks the right %s on %s %s: its policy has to allow the actions for it of"+
			" https://docs.aws.amazon.com/msk/latest/developerguide/kafka-actions.html", operation, kind, name)
	}
	user := cmp.Or(cluster.Username, "ANONYMOUS")
	return fmt.Errorf("user %q lacks the right %s on %s %s: an administrator of Kafka has to grant it"+
		" (kafka-acls --bootstrap-server %s --add --allow-principal User:%s --operation %s --%s %s)",
		user, operation, kind, name, cluster.Brokers[0], user, operation, kind, name)
}
