// Package settings says what the environment can set, for every way to run the program. It is read once, at the edge;
// everything that is wrong is named together, with an example.
package settings

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
)

// Serve is what `sipeat serve` can be told.
type Serve struct {
	HTTP  string // SIPEAT_HTTP: where the API listens; on loopback, because it is open to whoever reaches it
	Kafka string // SIPEAT_KAFKA: where the embedded broker listens; on loopback for the same reason
	Data  string // SIPEAT_DATA: the folder of the broker's log and the read model
}

// Settings is what the environment says.
type Settings struct {
	Serve               Serve
	Brokers             Kafka
	Web                 Web
	AnnouncedByProducer []string   // ANNOUNCED_BY_PRODUCER: producers that write their own notifications
	LogLevel            slog.Level // LOG_LEVEL: debug, info, warn or error
}

// Read reads the environment by getenv, such as [os.Getenv]. What is not set has the default of a laptop.
func Read(getenv func(string) string) (Settings, error) {
	r := reader{getenv: getenv}
	s := Settings{
		Serve: Serve{
			HTTP:  r.text("SIPEAT_HTTP", "127.0.0.1:8080"),
			Kafka: r.text("SIPEAT_KAFKA", "127.0.0.1:9092"),
			Data:  r.text("SIPEAT_DATA", ".sipeat"),
		},
		Brokers:             Kafka{Brokers: r.list("KAFKA_BROKERS", "127.0.0.1:9092")},
		Web:                 r.web(),
		AnnouncedByProducer: r.list("ANNOUNCED_BY_PRODUCER", "sipeat-app"),
	}
	for _, b := range s.Brokers.Brokers {
		r.check("KAFKA_BROKERS", Address(b))
	}
	r.check("LOG_LEVEL", s.LogLevel.UnmarshalText([]byte(r.text("LOG_LEVEL", "info"))))
	return s, errors.Join(r.faults...)
}

// Check says what is wrong with where serve shall listen.
func (s Serve) Check() error {
	var faults []error
	for _, a := range []struct{ name, address string }{{"--http (SIPEAT_HTTP)", s.HTTP}, {"--kafka (SIPEAT_KAFKA)", s.Kafka}} {
		err := Address(a.address)
		if err == nil && !loopback(a.address) {
			err = fmt.Errorf("%q can be reached from other machines, and serve asks nobody who they are: use 127.0.0.1 or localhost", a.address)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", a.name, err))
		}
	}
	if s.Data == "" {
		faults = append(faults, errors.New("--data (SIPEAT_DATA): no folder is named; for example --data .sipeat"))
	}
	return errors.Join(faults...)
}

// Address says what is wrong with a host:port.
func Address(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil || host == "" {
		return fmt.Errorf("%q is no host:port with a port from 0 to 65535; for example 127.0.0.1:9092", address)
	}
	return nil
}

func loopback(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

type reader struct {
	getenv func(string) string
	faults []error
}

func (r *reader) text(name, fallback string) string {
	if value := strings.TrimSpace(r.getenv(name)); value != "" {
		return value
	}
	return fallback
}

func (r *reader) list(name, fallback string) []string {
	var values []string
	for value := range strings.SplitSeq(r.text(name, fallback), ",") {
		if value = strings.TrimSpace(value); value != "" {
			values = append(values, value)
		}
	}
	return values
}

func (r *reader) check(name string, err error) {
	if err != nil {
		r.faults = append(r.faults, fmt.Errorf("%s: %w", name, err))
	}
}
