// A Kafka broker for the integration tests, in memory: what it holds is gone when it ends.
//
//	kafka PORT
//
// listens on 127.0.0.1:PORT, has the topic that the Collector writes spans to by default, and
// prints a line when it is ready. It runs until it is told to stop.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/twmb/franz-go/pkg/kfake"
)

func run(arguments []string) error {
	if len(arguments) != 1 {
		return fmt.Errorf("one argument is needed, the port to listen on; got %d", len(arguments))
	}
	port, err := strconv.Atoi(arguments[0])
	if err != nil {
		return fmt.Errorf("not a port: %w", err)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	// Four partitions, so that traces are spread over several.
	cluster, err := kfake.NewCluster(kfake.Ports(port), kfake.SeedTopics(4, "otlp_spans"))
	if err != nil {
		return err
	}
	defer cluster.Close()
	fmt.Println("ready on", cluster.ListenAddrs()[0])
	<-stop
	return nil
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}
