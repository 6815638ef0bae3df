// The skeleton of kernels that go by elements, each by itself: an invocation has element i of params.count, as the kernel counts them. The
// kernel brings what happens to it, marked `@splice`:
//   element

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) t: u32,
) {
  let i = (group.y * groups.x + group.x) * 256u + t;
  if (i < params.count) {
    element();
  }
}
