//! A node of rust-libp2p with ping, identify and a Kademlia DHT: it exports Prometheus metrics, and says itself what is
//! true. Usage: rust-node HTTP_PORT [MULTIADDR_OF_ANOTHER]

use libp2p::{
    futures::StreamExt,
    identify, identity, kad,
    metrics::{Metrics, Recorder, Registry},
    noise, ping,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux, Multiaddr,
};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[derive(NetworkBehaviour)]
struct Behaviour {
    ping: ping::Behaviour,
    identify: identify::Behaviour,
    kad: kad::Behaviour<kad::store::MemoryStore>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let mut registry = Registry::default();
    let mut swarm = libp2p::SwarmBuilder::with_existing_identity(identity::Keypair::generate_ed25519())
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)?
        .with_bandwidth_metrics(&mut registry)
        .with_behaviour(|key| {
            let id = key.public().to_peer_id();
            let mut kad = kad::Behaviour::new(id, kad::store::MemoryStore::new(id));
            kad.set_mode(Some(kad::Mode::Server));
            Behaviour {
                ping: ping::Behaviour::new(ping::Config::new().with_interval(Duration::from_millis(500))),
                identify: identify::Behaviour::new(identify::Config::new("/interop/1".into(), key.public())),
                kad,
            }
        })?
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(3600)))
        .build();
    let metrics = Metrics::new(&mut registry);
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
    if let Some(other) = arguments.get(2) {
        swarm.dial(other.parse::<Multiaddr>()?)?;
    }
    let http = tokio::net::TcpListener::bind(format!("127.0.0.1:{}", arguments[1])).await?;
    loop {
        tokio::select! {
            event = swarm.select_next_some() => {
                metrics.record(&event);
                match event {
                    SwarmEvent::Behaviour(BehaviourEvent::Ping(event)) => metrics.record(&event),
                    SwarmEvent::Behaviour(BehaviourEvent::Kad(event)) => metrics.record(&event),
                    SwarmEvent::Behaviour(BehaviourEvent::Identify(event)) => {
                        metrics.record(&event);
                        if let identify::Event::Received { peer_id, info, .. } = event {
                            for address in info.listen_addrs {
                                swarm.behaviour_mut().kad.add_address(&peer_id, address);
                            }
                        }
                    }
                    _ => {}
                }
            }
            connection = http.accept() => {
                let (mut connection, _) = connection?;
                let mut request = [0u8; 2000];
                let length = connection.read(&mut request).await?;
                let asked = String::from_utf8_lossy(&request[..length]).split(' ').nth(1).unwrap_or("").to_string();
                let mut page = String::new();
                if asked == "/truth" {
                    let address = swarm.listeners().next().map(|a| a.to_string()).unwrap_or_default();
                    let (id, peers) = (*swarm.local_peer_id(), swarm.connected_peers().count());
                    let open = swarm.network_info().connection_counters().num_established();
                    page = format!(
                        "{{\"id\":\"{id}\",\"address\":\"{address}/p2p/{id}\",\"peers\":{peers},\"connections\":{open}}}"
                    );
                } else {
                    prometheus_client::encoding::text::encode(&mut page, &registry)?;
                }
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/openmetrics-text; version=1.0.0\r\n\
                     content-length: {}\r\nconnection: close\r\n\r\n",
                    page.len()
                );
                let _ = connection.write_all((head + &page).as_bytes()).await;
            }
        }
    }
}
