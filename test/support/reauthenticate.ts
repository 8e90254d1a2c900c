import type { MqttClient } from 'mqtt'

/**
 * Sends AUTH 0x19 with this data through MQTT.js and waits for the answer: AUTH 0x00, or the end of
 * the connection, which rejects. MQTT.js has no public way to begin it.
 */
export function reauthenticate(client: MqttClient, data: string, method = 'JWT'): Promise<void> {
  return new Promise((resolve, reject) => {
    client.handleAuth = (_packet, callback) => {
      callback(undefined)
      resolve()
    }
    client.once('disconnect', (packet) => {
      reject(Object.assign(new Error('DISCONNECT'), { reasonCode: packet.reasonCode ?? 0 }))
    })
    client.once('close', () => reject(new Error('the connection was closed')))
    const properties = { authenticationMethod: method, authenticationData: Buffer.from(data) }
    const inner = client as unknown as { _sendPacket(packet: object): void }
    inner._sendPacket({ cmd: 'auth', reasonCode: 0x19, properties })
  })
}
