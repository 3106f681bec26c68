// TensorBoard notifies its frames when it has read new data.

/** Calls `reload` whenever TensorBoard reloads. */
export function followReload(reload) {
  if (window.parent === window) return;
  const channel = new MessageChannel();
  channel.port1.onmessage = ({data}) => {
    const {type, id, isReply} = JSON.parse(data);
    if (isReply) return;
    if (type === "experimental.DataReloaded") reload();
    channel.port1.postMessage(
      JSON.stringify({type, id, payload: null, error: null, isReply: true}),
    );
  };
  window.parent.postMessage(
    "experimental.bootstrap",
    window.location.origin,
    [channel.port2],
  );
}
