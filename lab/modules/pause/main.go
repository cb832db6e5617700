// The process that holds a pod's namespaces open while its containers come and go. It waits, and reaps what they leave.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	received := make(chan os.Signal, 16)
	signal.Notify(received, syscall.SIGCHLD, syscall.SIGINT, syscall.SIGTERM)
	for number := range received {
		if number != syscall.SIGCHLD {
			return
		}
		reap()
	}
}

// reap collects every child that has ended: several may share one signal.
func reap() {
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
	}
}
