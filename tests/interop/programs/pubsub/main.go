// A node of go-libp2p with gossipsub: it exports Prometheus metrics and says itself what is true.
// Usage: gossip-node HTTP_PORT [MULTIADDR_OF_ANOTHER]
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/libp2p/go-libp2p"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	ctx := context.Background()
	node, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
	check(err)
	gossip, err := pubsub.NewGossipSub(ctx, node)
	check(err)
	topic, err := gossip.Join("interop")
	check(err)
	subscription, err := topic.Subscribe()
	check(err)
	go func() {
		for {
			if _, err := subscription.Next(ctx); err != nil {
				return
			}
		}
	}()
	if len(os.Args) > 2 {
		other, err := peer.AddrInfoFromString(os.Args[2])
		check(err)
		check(node.Connect(ctx, *other))
	}
	http.Handle("/metrics", promhttp.Handler())
	http.HandleFunc("/truth", func(answer http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(answer).Encode(map[string]any{
			"id":          node.ID().String(),
			"address":     fmt.Sprintf("%s/p2p/%s", node.Addrs()[0], node.ID()),
			"peers":       len(node.Network().Peers()),
			"connections": len(node.Network().Conns()),
			"gossiping":   len(topic.ListPeers()),
		})
	})
	check(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
